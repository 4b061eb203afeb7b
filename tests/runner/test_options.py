from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detbench.errors import DeviceError
from detbench.recipe import resolve
from detbench.runner import options
from detbench.runner.job import TrainJob
from detbench.runner.launchers.launcher import Inbox
from detbench.runner.launchers.local import Child, Local
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


SAYS = 'printf "{\\"gpus\\": \\"%s\\"}\\n" "${CUDA_VISIBLE_DEVICES-none}"; cat > /dev/null'
"""A cell's process that says which GPUs it sees, and ends when it is let go."""

JOB = TrainJob(
    digest="d" * 64,
    label="row",
    cell=resolve.cell("fcos-r50", "smoke").cell,
    store="",
    data_root="",
)


class Children:
    """Real children of a launcher, with that command."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.launcher = Local(Options(Path("data"), "cuda", command=("sh", "-c", SAYS), **more))
        self.folder = folder
        self.inbox: Inbox = queue.Queue()
        self.started: list[Child] = []

    def start(self) -> str:
        """Start one; what it says it sees."""
        key = str(len(self.started))
        self.started.append(self.launcher.start(key, JOB, self.folder / key, self.inbox))
        heard = self.inbox.get(timeout=20)
        assert heard.key == key
        assert heard.event is not None
        return str(heard.event["gpus"])

    def end(self, child: Child) -> None:
        child.stop(signal.SIGKILL)
        child.close()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Callable[..., Children]]:
    made: list[Children] = []

    def make(**more: Any) -> Children:
        made.append(Children(tmp_path / str(len(made)), **more))
        return made[-1]

    yield make
    for each in made:
        for child in each.started:
            each.end(child)


def test_cells_take_gpus_of_their_own(children: Callable[..., Children], eight: None) -> None:
    pairs = children(jobs=4, gpus_per_cell=2)
    assert [pairs.start() for _ in range(4)] == ["0,1", "2,3", "4,5", "6,7"]
    ones = children(jobs=3)
    assert [ones.start() for _ in range(3)] == ["0", "1", "2"]
    # More cells than GPUs share them.
    shared = children(jobs=10)
    assert [shared.start() for _ in range(10)] == [*"01234567", "0", "1"]


def test_a_place_is_taken_again_with_its_gpus(
    children: Callable[..., Children], eight: None
) -> None:
    both = children(jobs=2)
    assert [both.start(), both.start()] == ["0", "1"]
    both.end(both.started[0])
    while (heard := both.inbox.get(timeout=20)).event is not None:
        assert heard.key == "0"
    assert both.start() == "0"
    with pytest.raises(ValueError, match="more cells at once than places"):
        both.start()


def test_one_gpu_is_left_to_cuda(
    children: Callable[..., Children], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this process sees, its cells see."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    both = children(jobs=2)
    assert [both.start(), both.start()] == ["5", "5"]
