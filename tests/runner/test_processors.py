"""Threads that wait asleep, and as many of them as processors are free."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.runner import processors
from detbench.runner.job import TrainJob
from detbench.runner.launchers import local
from detbench.runner.launchers.local import Call, Child, Local
from detbench.runner.options import Options

PLAIN = dict.fromkeys(processors.WAITING_OF_USER, "")
SEEN = "import json,os,sys; sys.stdin.readline(); print(json.dumps({'phase': dict(os.environ)}))"
AT_IMPORT = """
import importlib.abc, os, sys

class Torch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("KMP_BLOCKTIME"), flush=True)
            os._exit(7)

sys.meta_path.insert(0, Torch())
"""


def _job(tmp_path: Path) -> TrainJob:
    cell = resolve.cell("fcos-r50", "smoke").cell
    assert cell is not None
    return TrainJob(
        digest=digest(cell),
        label="FCOS",
        cell=cell,
        store=str(tmp_path / "results"),
        data_root="data",
        device="cpu",
    )


def _environment(**more: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name not in PLAIN} | more


def test_threads_sleep_unless_the_user_has_said_how_they_wait() -> None:
    assert processors.waiting({}) == {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    for name in processors.WAITING_OF_USER:
        assert processors.waiting({name: "5"}) == {}
    own = {"OMP_WAIT_POLICY": "ACTIVE"}
    processors.wait_passively(own)
    assert own == {"OMP_WAIT_POLICY": "ACTIVE"}


def _seen_by_child(tmp_path: Path) -> dict[str, str]:
    """The environment of a cell's process."""
    inbox: Any = queue.Queue()
    child = Child("key", _job(tmp_path), tmp_path, inbox, Call((sys.executable, "-c", SEEN)))
    event = inbox.get(timeout=30).event
    child.close()
    found: dict[str, str] = event["phase"]
    return found


def test_a_cells_process_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLAIN:
        monkeypatch.delenv(name, raising=False)
    seen = _seen_by_child(tmp_path)
    assert (seen["OMP_WAIT_POLICY"], seen["KMP_BLOCKTIME"]) == ("PASSIVE", "0")
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    seen = _seen_by_child(tmp_path)
    assert "OMP_WAIT_POLICY" not in seen
    assert "KMP_BLOCKTIME" not in seen


def _at_import(tmp_path: Path, script: str, **more: str) -> str:
    """What the environment says about waiting when a process imports torch."""
    done = subprocess.run(
        [sys.executable, "-c", AT_IMPORT + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=_environment(**more),
        timeout=120,
    )
    assert done.returncode == 7, done.stderr
    return done.stdout.strip()


COMMANDS = {
    "train": ["train", "fcos-r50", "--profile", "smoke"],
    "eval": ["eval", "fcos-r50", "--profile", "smoke", "--weights", "none.pt"],
    "predict": ["predict", "0", "--detector", "fcos-r50", "--weights", "none.pt"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_compute_say_it_before_torch_is_there(tmp_path: Path, name: str) -> None:
    words = [*COMMANDS[name], *(["--profile", "smoke"] if name == "predict" else [])]
    (tmp_path / "none.pt").touch()
    script = f"from detbench.cli.main import main\nmain({words!r})"
    assert _at_import(tmp_path, script) == "PASSIVE 0"
    assert _at_import(tmp_path, script, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE None"


def test_so_does_a_cell_that_is_started_by_hand(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(_job(tmp_path).model_dump_json())
    # What computes is imported in the cell, after this.
    script = """
        import sys
        from detbench.runner import cell
        sys.exit(cell.main(["job.json"], train=lambda *rest: __import__("torch")))
    """
    done = subprocess.run(
        [sys.executable, "-c", AT_IMPORT + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=_environment(),
        timeout=120,
    )
    assert (done.returncode, "PASSIVE 0" in done.stdout + done.stderr) == (7, True), done.stderr


# --- how many are free ----------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes this machine one of so many processors with such loads, under control groups."""

    def make(loads: list[float], own: set[int] | None = None, files: Any = None) -> None:
        group = tmp_path / "cgroup"
        for name, text in (files or {}).items():
            (group / name).parent.mkdir(parents=True, exist_ok=True)
            (group / name).write_text(text)
        monkeypatch.setattr(processors, "CGROUPS", group)
        monkeypatch.setattr(processors, "_own", lambda: sorted(own or range(len(loads))))
        monkeypatch.setattr(processors.psutil, "cpu_percent", lambda wait, percpu: loads)
        known = processors._read

        def read(path: Path) -> str:
            if path == Path("/proc/self/cgroup"):
                return "2:cpu,cpuacct:/box\n0::/box/inner"
            return known(path)

        monkeypatch.setattr(processors, "_read", read)

    return make


def test_the_busy_ones_are_left_out(machine: Any) -> None:
    machine([100.0, 0.0, 50.0, 0.0])
    assert (processors.usable(), processors.free()) == (4, 2.5)
    # Those that are not ours do not count, however busy or idle.
    machine([100.0, 0.0, 50.0, 0.0], own={1, 3})
    assert (processors.usable(), processors.free()) == (2, 2.0)


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({"box/cpu.max": "200000 100000", "box/inner/cpu.max": "max 100000"}, 2),
        ({"box/inner/cpu.max": "50000 100000"}, 1),
        ({"box/cpu.max": "900000 100000", "box/inner/cpu.max": "300000 100000"}, 3),
        ({"cpu/box/cpu.cfs_quota_us": "200000", "cpu/box/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/box/cpu.cfs_quota_us": "-1", "cpu/box/cpu.cfs_period_us": "100000"}, 8),
        ({"box/cpu.max": "garbage"}, 8),
    ],
)
def test_a_containers_quota_counts(machine: Any, files: dict[str, str], usable: int) -> None:
    machine([0.0] * 8, files=files)
    assert processors.usable() == usable


def test_what_a_container_uses_of_its_quota_is_not_free(machine: Any, monkeypatch: Any) -> None:
    files = {"box/cpu.max": "400000 100000", "box/cpu.stat": "usage_usec 1000000\nuser_usec 3"}
    machine([0.0] * 8, files=files)

    def meanwhile(wait: float, percpu: bool) -> list[float]:
        used = 1_000_000 + int(wait * 3e6)
        (processors.CGROUPS / "box/cpu.stat").write_text(f"usage_usec {used}")
        return [10.0] * 8

    monkeypatch.setattr(processors.psutil, "cpu_percent", meanwhile)
    assert processors.free() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("busy", "processes", "threads"),
    [(0.0, 1, 8), (0.2, 1, 8), (1.0, 1, 7), (6.0, 2, 1), (8.0, 1, 1), (3.0, 2, 2), (9.0, 8, 1)],
)
def test_threads_fit_what_is_free(
    monkeypatch: pytest.MonkeyPatch, busy: float, processes: int, threads: int
) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 8)
    monkeypatch.setattr(processors, "free", lambda: max(0.0, 8 - busy))
    found, said = processors.fitting(processes)
    assert found == threads
    share = 8 // processes
    assert bool(said) == (threads < share)
    if said:
        start = f"threads: {threads} for each process instead of {share}, as "
        assert said == f"{start}{min(busy, 8.0)} of 8 processors are busy; --threads chooses"


def test_on_this_machine_it_answers_at_once() -> None:
    assert 1 <= processors.usable() <= (os.cpu_count() or 1)
    assert 0 <= processors.free(0.05) <= processors.usable() + 0.01


def test_a_number_that_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(processes: int) -> tuple[int, str]:
        raise AssertionError

    monkeypatch.setattr(local.processors, "fitting", never)
    launcher = Local(Options(Path("data"), "cpu", jobs=2, threads=3))
    assert (launcher.threads, launcher.notice) == (3, "")
    monkeypatch.setattr(local.processors, "fitting", lambda processes: (processes, "said"))
    launcher = Local(Options(Path("data"), "cpu", jobs=2, gpus_per_cell=3))
    assert (launcher.threads, launcher.notice) == (6, "said")
