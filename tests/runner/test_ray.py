"""Cells on a Ray cluster of this machine: a process per test, so that none imports Ray here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import stub_run

from detbench.errors import DeviceError, StoreError
from detbench.results.store import Store
from detbench.runner.launchers import node
from detbench.runner.launchers import ray as launcher
from detbench.runner.options import Options

SCRIPT = str(Path(__file__).with_name("stub_run.py"))
PATIENCE_S = 120.0

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger"
    path.touch()
    monkeypatch.setenv("STUB_LEDGER", str(path))
    monkeypatch.setenv("STUB_STEP_S", "0.05")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path / "results")
    yield made
    shutil.rmtree(node._scratch(str(made.root)), ignore_errors=True)


def start(store: Store, count: int, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, str(store.root), str(count), "2", how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def notes(ledger: Path, word: str) -> list[list[str]]:
    return [line.split()[1:] for line in ledger.read_text().splitlines() if line.startswith(word)]


def wait_for(ledger: Path, word: str, digest: str) -> list[str]:
    """The first note of a cell that begins with ``word``."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for words in notes(ledger, word):
            if words[0] == digest:
                return words
        time.sleep(0.02)
    raise AssertionError(ledger.read_text())


def content(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.cells.iterdir()}


def undisturbed(tmp_path: Path, count: int) -> dict[str, bytes]:
    from detbench.runner.display import Plain
    from detbench.runner.run import run

    made = Store(tmp_path / "undisturbed")
    run(stub_run.tasks(count), made, stub_run.options(2), lambda: Plain(sys.stderr))
    return content(made)


@needs_ray
@pytest.mark.parametrize("how", ["ray", "ray-unshared"])
def test_a_killed_ray_worker_costs_a_restart_of_its_cell(
    tmp_path: Path, store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its cell goes on from its checkpoint, the other is not touched, the numbers are the same."""
    monkeypatch.setenv("STUB_STEPS", "60")
    monkeypatch.setenv("STUB_STEP_S", "0")
    expected = undisturbed(tmp_path, 2)
    ledger.write_text("")
    # The first cell must not end before the second starts, which takes seconds on a busy machine.
    monkeypatch.setenv("STUB_STEP_S", "0.1")
    victim, other = (task.digest for task in stub_run.tasks(2)[1:])
    process = start(store, 2, how)
    _, number = wait_for(ledger, "start", victim)
    wait_for(ledger, "start", other)
    time.sleep(0.6)
    worker = psutil.Process(int(number)).parent()
    assert worker is not None
    assert "ray" in " ".join(worker.cmdline()).lower()
    worker.kill()
    printed, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert printed == ""
    assert "row 0: killed by SIGKILL; it is started again" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    starts = Counter(words[0] for words in notes(ledger, "start"))
    assert (starts[victim], starts[other]) == (2, 1)
    [(_, step)] = notes(ledger, "resume")
    assert int(step) >= 3
    assert content(store) == expected
    log = store.work(stub_run.tasks(2)[1].work) / "log.txt"
    assert "starts" in log.read_text()
    left = [path for path in node._scratch(str(store.root)).rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {"lock", ".cells.lock"}


@needs_ray
def test_a_stopped_run_brings_checkpoints_home(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_STEPS", "200")
    task = stub_run.tasks(1)[1]
    process = start(store, 1, "ray-unshared")
    wait_for(ledger, "start", task.digest)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130, said
    assert "of 2 cells finished; the same command goes on" in said
    assert (store.work(task.work) / "checkpoint.pt").exists()
    # Another launcher goes on with it.
    monkeypatch.setenv("STUB_STEP_S", "0")
    shutil.rmtree(node._scratch(str(store.root)))
    from detbench.runner.display import Plain
    from detbench.runner.run import run

    assert run([task], store, stub_run.options(), lambda: Plain(sys.stderr)).exit_code == 0
    assert notes(ledger, "resume")


@needs_ray
def test_a_cluster_of_our_own_listens_on_loopback_only_in_a_private_folder(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: Ray's servers took connections, and so code to run, from the whole network. Right: what
    a run starts listens to this machine alone, and its sockets and logs lie in a folder of the
    user's own.
    """
    monkeypatch.setenv("STUB_STEP_S", "0.2")
    monkeypatch.setenv("STUB_STEPS", "100")
    task = stub_run.tasks(1)[1]
    process = start(store, 1, "ray")
    wait_for(ledger, "start", task.digest)
    mine = psutil.Process(process.pid)
    found = {
        (one.name(), link.laddr.ip.removeprefix("::ffff:"))
        for one in [mine, *mine.children(recursive=True)]
        for link in one.net_connections("inet")
        if link.status == psutil.CONN_LISTEN
    }
    opened = {name for one in mine.children(recursive=True) for name in one.cmdline()}
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130, said
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    assert {ip for _, ip in found} == {"127.0.0.1"}
    folder = node.private_temporary()
    assert any(name.startswith(f"--session_dir={folder}/ray/") for name in opened), opened
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_cluster_is_our_own_unless_one_is_named_or_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert launcher._alone(None)
    assert launcher._alone("local")
    assert not launcher._alone("auto")
    assert not launcher._alone("10.0.0.1:6379")
    known = tmp_path / "ray" / "ray_current_cluster"
    known.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        known.write_text(f"127.0.0.1:{server.getsockname()[1]}")
        assert not launcher._alone(None)
        assert launcher._alone("local")
    assert launcher._alone(None)  # that one has gone


def test_a_temporary_folder_of_somebody_elses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"detbench-{os.getuid()}"
    folder.mkdir(mode=0o755)
    assert node.private_temporary() == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    (tmp_path / "detbench-4711").mkdir()
    with pytest.raises(StoreError, match="detbench-4711 is not a folder of yours"):
        node.private_temporary()
    (tmp_path / "detbench-4712").symlink_to(folder)
    monkeypatch.setattr(os, "getuid", lambda: 4712)
    with pytest.raises(StoreError, match="is not a folder of yours"):
        node.private_temporary()


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"needs Ray: pip install 'detbench\[ray\]'"):
        launcher._ray()


def test_where_nobody_answers_one_line_says_so_at_once(tmp_path: Path) -> None:
    options = Options(Path("data"), launcher="ray", ray_address="127.0.0.1:1")
    began = time.monotonic()
    said = r"no Ray cluster at 127\.0\.0\.1:1 \(.*refused\): start one with `ray start --head`"
    with pytest.raises(DeviceError, match=said), launcher.cluster(options, tmp_path):
        raise AssertionError("there is none")
    assert time.monotonic() - began < 10


def fake(*nodes: dict[str, float]) -> Any:
    """A cluster of these nodes."""
    total: Counter[str] = Counter()
    for one in nodes:
        total.update(one)
    listed = [{"Alive": True, "Resources": one} for one in nodes]
    return SimpleNamespace(cluster_resources=lambda: total, nodes=lambda: listed)


def made(ray: Any, **more: Any) -> launcher.Cluster:
    options = Options(Path("data"), **{"jobs": None, **more})
    return launcher.Cluster(ray, options, Path("results"), Path("token"))


def test_cells_are_as_many_as_the_nodes_have_room_for() -> None:
    nodes = ({"CPU": 16.0, "GPU": 4.0}, {"CPU": 3.0, "GPU": 4.0}, {"CPU": 64.0})
    assert made(fake(*nodes)).places == 4 + 3
    assert made(fake(*nodes), gpus_per_cell=2).places == 2 + 1
    assert made(fake(*nodes), gpus_per_cell=0.5).places == 8 + 3
    assert made(fake(*nodes), device="cpu", threads=8).places == 2 + 8
    assert made(fake(*nodes), jobs=1).places == 1
    assert made(fake({"CPU": 2.0})).places == 2


def test_what_no_node_has_is_one_line() -> None:
    with pytest.raises(DeviceError, match=r"8 CPUs, 8 GPUs, and no node .* more than 16 CPUs"):
        made(fake({"CPU": 16.0, "GPU": 4.0}), gpus_per_cell=8)


def test_files_of_a_node_go_to_their_cell_alone(tmp_path: Path) -> None:
    [_, task] = stub_run.tasks(1)
    store = Store(tmp_path)
    job = SimpleNamespace(cell=task.cell)
    launcher.take(store, job, {f"work/{task.work}/curve.jsonl": b"x", "cells/a.parquet": b"y"})  # type: ignore[arg-type]
    assert (store.cells / "a.parquet").read_bytes() == b"y"
    for path in ("../x", "/etc/x", "work/other/x", "cells/../../x"):
        with pytest.raises(StoreError, match="no place of its cell"):
            launcher.take(store, job, {path: b""})  # type: ignore[arg-type]
