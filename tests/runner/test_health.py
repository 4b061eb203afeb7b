"""``detbench doctor``: what is broken is found, and what to do about it said."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from made_voc import make_voc
from packaging.specifiers import SpecifierSet
from typer.testing import CliRunner

from detbench.cli import main as entry
from detbench.measure import probe
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import health
from detbench.runner.health import Check

SOUND: dict[str, Any] = {
    "torch": "2.15.0",
    "torchvision": "0.29",
    "threads": 2,
    "cuda": None,
    "devices": [{"name": "cpu", "memory": None, "error": ""}],
    "ops": "",
}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What PyTorch's process says, to change; it is not started."""
    said = json.loads(json.dumps(SOUND))
    monkeypatch.setattr(health, "probe", lambda: said)
    monkeypatch.setattr(health, "_weights", lambda: Check("weights", "ok", "none"))
    monkeypatch.setattr(health, "driver", lambda: None)
    monkeypatch.delenv("DETBENCH_DATA", raising=False)
    monkeypatch.delenv("DETBENCH_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return said


def look(name: str, data: str = "data", results: str = "results") -> Check:
    [one] = [one for one in health.checks(Path(data), Path(results)) if one.name == name]
    return one


def test_a_sound_machine(found: dict[str, Any], tmp_path: Path) -> None:
    make_voc(tmp_path / "data", images=1)
    Store(tmp_path / "results").add([Measurement("a" * 64, "cost", "gflops", 1.0, "GFLOPs")])
    for one in health.checks(Path("data"), Path("results")):
        assert one.status == "ok" or one.name in ("memory", "disk", "shared memory"), one
    gone = "coco, widerface, openimages"
    assert look("data").message == f"data: shapes (embedded), voc; not found: {gone}"
    assert look("store").message == "1 cells done, 0 failed"
    assert look("results").message == "results takes files and locks"
    assert not list((tmp_path / "results" / "work").iterdir())  # nothing is left behind


def test_torch_that_does_not_work(found: dict[str, Any]) -> None:
    found["ops"] = "operator torchvision::nms does not exist"
    assert look("torch").status == "broken"
    assert "the torchvision that belongs to this torch" in look("torch").advice
    found.update(error="PyTorch does not start: libcudart.so.13: cannot open")
    assert (look("torch").status, look("torch").message) == ("broken", found["error"])
    found.update(
        error="PyTorch does not start: x: ... (ModuleNotFoundError: No module named 'detbench')"
    )
    assert "PYTHONPATH=" in look("torch").advice


def test_devices(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("device").message == "cpu: no GPU here; profile smoke is made for that"
    monkeypatch.setattr(health, "driver", lambda: "570.1")
    assert look("device").status == "warning"
    assert "CUDA_VISIBLE_DEVICES" in look("device").advice
    found["devices"].append({"name": "cuda:0 NVIDIA H200", "memory": 150_000_000_000, "error": ""})
    assert look("device").message == "cuda:0 NVIDIA H200, 150 GB, driver 570.1"
    found["devices"][1]["error"] = "no kernel image is available"
    assert look("device").status == "broken"


def test_packages(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["numpy>=1.26", "nosuchthing>=1", "rich>=999.0", 'ray>=2; extra == "ray"']
    monkeypatch.setattr(metadata, "requires", lambda name: needed)
    one = look("packages")
    assert one.status == "broken"
    assert one.message.startswith("nosuchthing is not installed; rich ")
    monkeypatch.setattr(metadata, "requires", lambda name: needed[:1])
    assert look("packages").message == "all 1 are installed and new enough"


@pytest.mark.parametrize(
    ("older", "newer"), [("1.9", "1.10"), ("2", "2.0.1"), ("0.1.5.post2022", "0.1.6")]
)
def test_versions_are_compared_by_number(older: str, newer: str) -> None:
    assert not health.new_enough(older, SpecifierSet(f">={newer}"))
    assert health.new_enough(newer, SpecifierSet(f">={older}"))
    assert health.new_enough("2.0", SpecifierSet(">=2"))
    assert health.new_enough("2", SpecifierSet(">=2.0"))
    assert health.new_enough("0.1.5.post2022", SpecifierSet(">=0.1.5.post2022"))
    assert health.new_enough("2.6.0a0+ecf3bae40a.nv25.1", SpecifierSet(">=2.6"))


def test_damaged_files_in_the_store(found: dict[str, Any], tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for letter in "ab":
        store.add([Measurement(letter * 64, "cost", "gflops", 1.0, "GFLOPs")])
    next(iter((tmp_path / "results" / "cells").iterdir())).write_bytes(b"x")
    one = look("store")
    assert one.status == "broken"
    assert "1 unreadable (cost-" in one.message
    assert "results verify" in one.advice


def test_results_that_cannot_be_written(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert look("results", results="file/results").status == "broken"
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(health.Lock, "acquire", lambda self: False)
    assert "grants no locks" in look("results").message
    monkeypatch.setattr(health.os, "access", lambda *_: False)
    assert look("results").status == "broken"


def test_little_room(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for limits, status in (((1e18, 0), "warning"), ((1e18, 1e18), "broken"), ((0, 0), "ok")):
        monkeypatch.setattr(health, "LITTLE_DISK", limits[0])
        monkeypatch.setattr(health, "NO_DISK", limits[1])
        assert look("disk").status == status
    monkeypatch.setattr(health, "LITTLE_MEMORY", 1e18)
    assert look("memory").status == "warning"


def test_a_data_root_that_is_named_and_not_there(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look("data").status == "ok"
    monkeypatch.setenv("DETBENCH_DATA", "gone")
    assert look("data", data="gone").status == "broken"
    assert "mend DETBENCH_DATA" in look("data", data="gone").advice


def test_the_command(found: dict[str, Any]) -> None:
    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(entry.app, ["doctor", *words])
        return done.exit_code, done.stdout

    code, out = call()
    assert code == 0
    assert "torch 2.15.0 (for the CPU)" in out
    found["ops"] = "nms is missing"
    code, out = call()
    assert code == 1
    assert "BROKEN: torch: install the torchvision that belongs" in out
    code, out = call("--format", "json")
    assert code == 1
    [torch] = [one for one in json.loads(out) if one["name"] == "torch"]
    assert torch["status"] == "broken"


def test_the_probe_of_this_machine() -> None:
    found = probe.probe()
    assert "error" not in found
    assert set(found) == set(SOUND)  # what the tests above make up is what there is
    assert set(found["devices"][0]) == set(SOUND["devices"][0])
    assert found["ops"] == ""
    assert (found["devices"][0]["name"], found["devices"][0]["error"]) == ("cpu", "")


def test_a_probe_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    assert probe.probe() == {"error": "PyTorch does not start: exit code 1"}
