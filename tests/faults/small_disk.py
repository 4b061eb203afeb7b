"""The real runner and its cells on a disk with a few free pages, which then grows: FOLDER."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import stub_run

from detbench.errors import StoreError
from detbench.results.store import Store
from detbench.runner.display import Plain
from detbench.runner.run import run

PAGES = (0, 1, 3)
TASKS = stub_run.tasks(1)[1:]


def mount(folder: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "t", str(folder)], check=True)


def outcome(folder: Path) -> str:
    """How a run ends: its message, or nothing where it finishes."""
    try:
        found = run(TASKS, Store(folder / "results"), stub_run.options(), lambda: Plain(sys.stderr))
    except StoreError as error:
        return str(error)
    assert found.exit_code == 0, found
    return ""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Store(folder / "results").cells.iterdir()}


def main(folder: Path) -> None:
    os.environ["STUB_LEDGER"] = str(folder / "ledger")
    os.environ["STUB_STEPS"] = "6"
    assert outcome(folder / "whole") == ""
    whole = content(folder / "whole")
    said = []
    for pages in PAGES:
        disk = folder / f"disk{pages}"
        disk.mkdir()
        mount(disk, f"size={4096 * (pages + 1)}")
        (disk / "other").write_bytes(bytes(4096))
        said.append(outcome(disk))
        assert Store(disk / "results").status(TASKS[0].digest) in ("missing", "done")
        mount(disk, "remount", "size=1m")
        assert outcome(disk) == ""
        assert content(disk) == whole
    print("\n".join(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
