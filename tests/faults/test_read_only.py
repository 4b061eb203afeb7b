"""A store that cannot be written: it is read as ever, and what would write is one line."""

from __future__ import annotations

import builtins
import errno
import os
from pathlib import Path
from typing import Any

import made_cell
import namespace
import pytest

from detbench.errors import StoreError
from detbench.results.store import Store


@pytest.mark.skipif(bool(namespace.why_not()), reason=namespace.why_not())
def test_a_read_only_mount(tmp_path: Path) -> None:
    """The runner and its cells as processes; permissions alone would not bind root."""
    lines = namespace.run("read_only.py", str(tmp_path)).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(f"cannot write {tmp_path}/results/")
        assert "(Read-only file system): choose a folder of yours (--results" in line


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_where_nothing_can_be_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    root = tmp_path / "results"
    assert made_cell.run(root) == 0
    before = made_cell.content(root)
    real, real_open = builtins.open, os.open

    def refuse(path: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, mode, *more, **named)

    def refuse_open(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(code, os.strerror(code), str(path))
        return real_open(path, flags, *more, **named)

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(os, "open", refuse_open)
    with pytest.raises(StoreError, match=r"^cannot write .*: choose a folder of yours"):
        made_cell.run(root)
    store = Store(root)
    assert store.status(made_cell.TASK.digest) == "done"
    assert store.detections(made_cell.TASK.digest)
    assert made_cell.content(root) == before
