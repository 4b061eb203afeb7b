"""The loss curve: one JSON line per iteration, continued exactly where a checkpoint left off."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detbench.results.files import write_atomic, writing


class Curve:
    """Appends to ``path``; opening it forgets what came after iteration ``done``."""

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        kept = [json.dumps(line) + "\n" for line in read(path) if line["iteration"] <= done]
        write_atomic(path, "".join(kept).encode())

    def add(self, lines: list[dict[str, Any]], sync: bool = False) -> None:
        """Append lines; ``sync`` waits for the disk: no checkpoint is ahead of its curve."""
        with writing(self.path), open(self.path, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            if sync:
                os.fsync(file.fileno())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a curve: ``iteration`` (from 1), ``lr``, ``total`` and each loss by name.

    A last line cut short by a killed process is left out; a missing file is an empty curve.
    """
    if not path.exists():
        return
    with open(path) as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                return
