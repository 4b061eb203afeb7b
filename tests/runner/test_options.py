from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from detbench.errors import DeviceError
from detbench.runner import options
from detbench.runner.launchers.local import Local
from detbench.runner.options import Options, default_jobs, gpus


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")


def test_the_gpus_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch, eight: None) -> None:
    assert gpus("auto") == gpus("cuda") == list("01234567")
    assert gpus("cuda:1") == gpus("cpu") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus("cuda") == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(options.shutil, "which", lambda name: None)
    assert gpus("cuda") == []


def test_by_default_every_gpu_has_a_cell(monkeypatch: pytest.MonkeyPatch, eight: None) -> None:
    assert default_jobs(False, "cuda") == 8
    assert default_jobs(False, "cuda", 2) == 4
    assert default_jobs(False, "cuda", 3) == 2
    assert default_jobs(False, "cuda", 0.5) == 16
    assert default_jobs(False, "cuda:3") == default_jobs(False, "cpu") == 1
    monkeypatch.setattr(options.processors, "usable", lambda: 6)
    assert default_jobs(True, "cpu") == 6
    assert default_jobs(True, "cpu", 2) == 3


@pytest.mark.parametrize(
    ("device", "each", "message"),
    [
        ("cuda", 16, "--gpus-per-cell 16, and this machine has 8 GPUs"),
        ("cuda:1", 2, "--gpus-per-cell 2 with --device cuda:1: use --device cuda"),
        ("cuda", 1.5, "--gpus-per-cell 1.5: give a whole number, or a fraction below 1"),
        ("cuda", 0, "--gpus-per-cell 0: give a whole number"),
        ("cpu", -1, "--gpus-per-cell -1: give a whole number"),
    ],
)
def test_what_the_machine_has_not_is_one_line(
    eight: None, device: str, each: float, message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        Options(Path("data"), device, gpus_per_cell=each).settled(light=False)


def test_run_is_not_started_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DeviceError, match="start it without torchrun, with --gpus-per-cell"):
        Options(Path("data")).settled(light=False)


class Fake:
    """In place of a child: what it was given."""

    code = None

    def __init__(self, *arguments: Any) -> None:
        self.seen = arguments[-1].get("CUDA_VISIBLE_DEVICES")


def started(monkeypatch: pytest.MonkeyPatch, count: int, **more: Any) -> list[Any]:
    from detbench.runner.launchers import local

    monkeypatch.setattr(local, "Child", Fake)
    launcher = Local(Options(Path("data"), "cuda", **more))
    return [launcher.start("key", None, Path(), queue.Queue()) for _ in range(count)]  # type: ignore[arg-type]


def test_cells_take_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch, eight: None) -> None:
    found = started(monkeypatch, 4, jobs=4, gpus_per_cell=2)
    assert [one.seen for one in found] == ["0,1", "2,3", "4,5", "6,7"]
    found = started(monkeypatch, 3, jobs=3)
    assert [one.seen for one in found] == ["0", "1", "2"]
    # More cells than GPUs share them.
    found = started(monkeypatch, 10, jobs=10)
    assert [one.seen for one in found] == [*"01234567", "0", "1"]


def test_a_place_is_taken_again_with_its_gpus(monkeypatch: pytest.MonkeyPatch, eight: None) -> None:
    from detbench.runner.launchers import local

    monkeypatch.setattr(local, "Child", Fake)
    launcher = Local(Options(Path("data"), "cuda", jobs=2))
    inbox: Any = queue.Queue()
    job: Any = None
    first, second = (launcher.start("key", job, Path(), inbox) for _ in range(2))
    first.code = 0  # type: ignore[misc]
    assert launcher.start("key", job, Path(), inbox).seen == first.seen == "0"  # type: ignore[attr-defined]
    assert second.seen == "1"  # type: ignore[attr-defined]


def test_one_gpu_is_left_to_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert [one.seen for one in started(monkeypatch, 2, jobs=2)] == [None, None]
