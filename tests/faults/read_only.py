"""A store on a disk that is read-only, and later is not: FOLDER."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import stub_run

from detbench.cli.main import main as detbench
from detbench.errors import StoreError
from detbench.results.store import Store
from detbench.runner.display import Plain
from detbench.runner.run import run

ONE, BOTH = stub_run.tasks(2)[1:2], stub_run.tasks(2)[1:]


def mount(folder: Path, *options: str) -> None:
    subprocess.run(["mount", "-o", ",".join(options), str(folder), str(folder)], check=True)


def attempt(tasks: list[stub_run.Task], store: Store, **more: bool) -> str:
    """What stops a run, or nothing; never a cell that counts as failed."""
    try:
        outcome = run(tasks, store, stub_run.options(**more), lambda: Plain(sys.stderr))
    except StoreError as error:
        return str(error)
    assert (outcome.exit_code, outcome.computed) == (0, []), outcome
    return ""


def command(*words: str) -> tuple[object, str]:
    """Exit code and stderr of a command line."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            detbench(words)
        except SystemExit as ended:
            return ended.code, err.getvalue()
    raise AssertionError("a command line ends in SystemExit")


def main(folder: Path) -> None:
    os.environ["STUB_LEDGER"] = str(folder / "ledger")
    os.environ["STUB_STEPS"] = "6"
    root = folder / "results"
    store = Store(root)
    run(ONE, store, stub_run.options(), lambda: Plain(sys.stderr))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    mount(root, "bind")
    mount(root, "bind", "remount", "ro")
    # What is there is read, and needs no writing.
    assert attempt(ONE, store) == ""
    for words in (["report", "tscode-table1", "--profile", "smoke"], ["results", "list"], ["list"]):
        code, said = command(*words, *(["--results", str(root)] if words != ["list"] else []))
        assert code == 0, said
        assert "Traceback" not in said
    print(attempt(BOTH, store))
    print(attempt(BOTH, store, fresh=True))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert store.status(ONE[0].digest) == "done"
    assert store.detections(ONE[0].digest)
    mount(root, "bind", "remount", "rw")
    done = run(BOTH, store, stub_run.options(), lambda: Plain(sys.stderr))
    assert [task.label for task in done.computed] == ["row 1"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
