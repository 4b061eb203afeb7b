import errno
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from detbench.errors import StoreError
from detbench.results import files, schema
from detbench.results.files import Lock, write_atomic
from detbench.results.schema import Measurement
from detbench.results.store import Store

A, B = "a" * 64, "b" * 64


def _row(digest: str = A, metric: str = "AP", value: float | None = 0.25, **more) -> Measurement:
    return Measurement(
        digest=digest, kind="train-eval", metric=metric, value=value, unit="fraction", **more
    )


def _failure(digest: str = A) -> Measurement:
    return _row(digest, "cell", None, status="failed", reason="loss is NaN at iteration 7")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_an_absent_store_is_empty(store: Store) -> None:
    assert store.status(A) == "missing"
    assert store.rows([A, B]) == []
    assert store.listing() == {}
    assert store.detections(A) is None
    assert not store.root.exists()


def test_what_is_added_is_found(store: Store) -> None:
    found = [{"image_id": 1, "category_id": 2, "bbox": [0.5, 1, 2, 3], "score": 0.25}]
    store.add([_row(), _row(metric="AP50", value=0.5)], found)
    stored = store.get(A)
    assert stored is not None
    assert (stored.status, stored.value("AP50"), stored.value("APx")) == ("done", 0.5, None)
    assert store.detections(A) == found
    assert store.listing() == {A: "done"}
    assert [row.metric for row in store.rows([B, A, A])] == ["AP", "AP50"]


def test_success_replaces_failure(store: Store) -> None:
    store.add([_failure()])
    stored = store.get(A)
    assert stored is not None
    assert (stored.status, stored.reason) == ("failed", "loss is NaN at iteration 7")
    assert store.listing() == {A: "failed"}
    store.add([_row()])
    assert store.status(A) == "done"
    assert store.listing() == {A: "done"}


def test_rows_of_two_cells_do_not_go_in_one_file(store: Store) -> None:
    with pytest.raises(ValueError, match="one cell"):
        store.add([_row(A), _row(B)])


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbled", "text"])
def test_a_damaged_file_is_named_once_and_missing(
    store: Store, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.add([_row()])
    [path] = store.cells.glob("*.parquet")
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "garbled": content[:40] + bytes(60) + content[100:],
            "text": b"no parquet at all",
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert store.status(A) == "missing"
        assert store.get(A) is None
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert str(path) in message
    assert "missing" in message
    assert "\n" not in message
    store.add([_row()])
    assert store.status(A) == "done"


def test_a_file_under_another_cells_name_is_not_believed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.add([_row(A)])
    [path] = store.cells.glob("*.parquet")
    path.rename(path.with_name(path.name.replace(A, B)))
    assert store.status(B) == "missing"
    assert "another cell" in caplog.text


def test_damaged_detections_are_an_error_that_names_them(store: Store) -> None:
    store.add([_row()], [{"image_id": 1}])
    [path] = store.cells.glob("*.gz")
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(StoreError, match=r"detections\.json\.gz is damaged"):
        store.detections(A)


def test_a_newer_file_is_refused_not_recomputed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 9)
    store.add([_row()])
    monkeypatch.undo()
    with pytest.raises(StoreError, match="newer detbench"):
        store.status(A)


def test_nothing_is_done_when_writing_stops_before_the_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detections first, rows last: a death in between leaves the cell missing."""
    replaced: list[str] = []
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        replaced.append(Path(target).name)
        if len(replaced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(StoreError, match="no space left while writing"):
        store.add([_row()], [])
    assert replaced[0].endswith(".json.gz")
    assert store.status(A) == "missing"
    assert not list(store.cells.glob(".*"))


def test_a_full_disk_is_one_line_and_leaves_no_half_file(store: Store) -> None:
    """A limit on file sizes stands in for a full disk, in a process of its own."""
    store.add([_row()])
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from detbench.results.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomic(Path(sys.argv[1]), b'x' * 5000)\n"
    )
    target = store.cells / "new"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=False
    )
    assert f"StoreError: no space left while writing {target}" in done.stderr
    assert [path.name for path in store.cells.iterdir()] == [f"train-eval-{A}.parquet"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_store_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="results is a file, not a folder of results"):
        Store(tmp_path / "results")
    # One that gets in the way later.
    store = Store(tmp_path / "later")
    (tmp_path / "later").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        store.add([_row()])


def test_a_read_only_store_reads_and_says_why_it_does_not_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add([_row()])

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    # Permissions do not bind root, under whom tests may run.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(StoreError, match=r"cannot write .*[Rr]ead-only.*--results"):
        store.add([_row(B)])
    monkeypatch.undo()
    assert store.status(A) == "done"


def test_discard_forgets_measurements_and_on_request_work(store: Store) -> None:
    store.add([_row()], [])
    work = store.work(A)
    (work / "deep").mkdir(parents=True)
    for name in ("lock", "checkpoint.pt", "deep/file"):  # the last is the user's
        (work / name).write_text("x")
    store.discard(A)
    assert store.status(A) == "missing"
    assert store.detections(A) is None
    assert (work / "checkpoint.pt").exists()
    store.discard(A, work=A)
    assert {path.name for path in work.iterdir()} == {"lock", "deep"}


def test_leftovers_of_dead_writers_are_removed_those_of_live_ones_kept(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", ""], check=True, capture_output=True)
    assert gone.returncode == 0
    dead, alive = tmp_path / ".f.999999999.tmp", tmp_path / f".f.{os.getppid()}.tmp"
    dead.write_text("x")
    alive.write_text("x")
    write_atomic(tmp_path / "f", b"content")
    assert not dead.exists()
    assert alive.exists()
    assert (tmp_path / "f").read_bytes() == b"content"


def _try_lock(path: Path) -> str:
    code = (
        "import sys; from pathlib import Path; from detbench.results.files import Lock\n"
        "print(Lock(Path(sys.argv[1])).acquire())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_lock_excludes_other_processes_until_released(tmp_path: Path) -> None:
    path = tmp_path / "work" / "lock"
    lock = Lock(path)
    assert lock.acquire()
    assert _try_lock(path) == "False"
    lock.release()
    assert _try_lock(path) == "True"


def test_a_lock_goes_with_its_killed_owner_even_if_a_forked_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os, sys, time; from pathlib import Path; from detbench.results.files import Lock\n"
        "assert Lock(Path(sys.argv[1])).acquire()\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    try:
        assert _try_lock(path) == "False"
        owner.kill()
        owner.wait()
        assert _try_lock(path) == "True"
    finally:
        owner.stdout.close()
        os.kill(child, 9)
