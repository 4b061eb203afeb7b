"""What a device says of itself, with a driver that is made up."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from detbench.measure import conditions

GPU = torch.device("cuda", 0)
SAYS = """#!/bin/sh
case "$*" in *clocks.mem*clocks_throttle*) {whole};; esac
case "$*" in
*-i*GPU-abc*query-gpu=clocks.sm*) echo 1980;;
*query-gpu=power.limit*) echo 700.00;;
*query-gpu=power.draw*) echo '[N/A]';;
*query-gpu=temperature.gpu*) echo 41;;
*query-gpu=clocks_throttle*) echo 0x0000000000000024;;
*query-gpu=driver_version*) echo 580.95.05;;
*) exit 6;;
esac
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path for an ``nvidia-smi`` of the test's own."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = SimpleNamespace(uuid="abc")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    return tmp_path / "nvidia-smi"


def says(path: Path, whole: str) -> None:
    path.write_text(SAYS.format(whole=whole))
    path.chmod(0o755)


def test_what_the_driver_tells(driver: Path) -> None:
    says(driver, "echo '1980, 2619, [N/A], 700.00, 41, 3, 0x0000000000000000'; exit")
    found = conditions.now(GPU)
    assert found.pop("load") >= 0
    assert found == {
        "sm_clock_mhz": 1980.0,
        "memory_clock_mhz": 2619.0,
        "power_cap_w": 700.0,
        "temperature_c": 41.0,
        "utilisation_percent": 3.0,
        "throttle": [],
    }
    assert conditions.driver(GPU) == "580.95.05"


def test_of_a_field_that_a_driver_does_not_know_nothing_is_said(driver: Path) -> None:
    says(driver, "exit 2")
    found = conditions.now(GPU)
    assert "memory_clock_mhz" not in found
    assert "power_w" not in found
    assert found["sm_clock_mhz"] == 1980.0
    assert found["throttle"] == ["software power cap", "software thermal slowdown"]


def test_without_a_driver_nothing_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(conditions.now(GPU)) == {"load"}
    assert conditions.driver(GPU) is None


def test_a_processor_says_its_clock_where_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(conditions, "GOVERNOR", tmp_path / "governor")
    cpu = torch.device("cpu")
    assert set(conditions.now(cpu)) == {"load"}
    (tmp_path / "cpuinfo").write_text("cpu MHz\t\t: 2000.0\ncpu MHz\t\t: 3000.0\n")
    (tmp_path / "governor").write_text("performance\n")
    found = conditions.now(cpu)
    assert (found["cpu_clock_mhz"], found["governor"]) == (2500.0, "performance")
    assert conditions.driver(cpu) is None
