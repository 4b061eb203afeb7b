"""The loss curve: one JSON line per iteration, continued exactly where a checkpoint left off."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detbench.results.files import write_atomic, writing


class Curve:
    """Appends to ``path``; opening it forgets what came after iteration ``done``.

    Args:
        kept: False writes nothing and leaves the file to another process.
    """

    def __init__(self, path: Path, done: int, kept: bool = True) -> None:
        self.path = path
        self.kept = kept
        if not kept:
            return
        lines = [json.dumps(line) + "\n" for line in read(path) if line["iteration"] <= done]
        write_atomic(path, "".join(lines).encode())

    def add(self, lines: list[dict[str, Any]], sync: bool = False) -> None:
        """Append lines; ``sync`` waits for the disk: no checkpoint is ahead of its curve."""
        if not self.kept:
            return
        with writing(self.path), open(self.path, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            if sync:
                os.fsync(file.fileno())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a curve: ``iteration`` (from 1), ``lr``, ``total`` and each loss by name.

    Damaged lines are left out, as the last one cut short by a killed process; a missing file is an
    empty curve.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if _sound(line):
                yield line


def _sound(line: Any) -> bool:
    """Whether a line is whole: an iteration and numbers by name."""
    return (
        isinstance(line, dict)
        and isinstance(line.get("iteration"), int)
        and {"lr", "total"} <= set(line)
        and all(isinstance(value, int | float) for value in line.values())
    )
