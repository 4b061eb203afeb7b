"""The curve of a training: one JSON line per iteration, and one per look at its scores.

It is continued exactly where a checkpoint left off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from detbench.results.files import write_atomic, writing

FILE = "curve.jsonl"
LOOK = "validation"
"""The key of a line's scores."""
_START = b'{"iteration": '


class Curve:
    """Appends to ``path``; opening it forgets what came after iteration ``done``.

    Args:
        counts: whether a look after an iteration was this training's and is finished.
        kept: False writes nothing and leaves the file to another process.
    """

    def __init__(
        self,
        path: Path,
        done: int,
        counts: Callable[[int], bool] = lambda iteration: True,
        kept: bool = True,
    ) -> None:
        self.path = path
        self.kept = kept
        if not kept:
            return
        lines = [
            line
            for line in _lines(path)
            if line["iteration"] <= done and (LOOK not in line or counts(line["iteration"]))
        ]
        write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())

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
    """The losses of a curve: ``iteration`` (from 1), ``lr``, ``total`` and each loss by name.

    Damaged lines are left out, as the last one cut short by a killed process; a missing file is an
    empty curve.
    """
    return (line for line in _lines(path) if LOOK not in line)


def looks(path: Path) -> Iterator[dict[str, Any]]:
    """The scores of a curve: ``iteration``, and in ``validation`` each metric by name, in [0, 1] or
    none. A training that is not looked at has none.
    """
    return (line for line in _lines(path) if LOOK in line)


def is_one(path: Path) -> bool:
    """Whether a file begins as a curve does, or as one whose first line was cut short."""
    with open(path, "rb") as file:
        start = file.read(len(_START))
    return _START.startswith(start)


def best(path: Path, metric: str) -> dict[str, Any] | None:
    """The look with the largest score, the first of equals; none if there is none."""
    found = [line for line in looks(path) if line[LOOK].get(metric) is not None]
    return max(found, key=lambda line: float(line[LOOK][metric]), default=None)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
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
    """Whether a line is whole: an iteration and numbers by name, or by the names of metrics."""
    if not isinstance(line, dict) or not isinstance(line.get("iteration"), int):
        return False
    scores = line.get(LOOK)
    if isinstance(scores, dict):
        return all(isinstance(x, int | float | None) for x in scores.values())
    return {"lr", "total"} <= set(line) and all(
        isinstance(value, int | float) for value in line.values()
    )
