"""Whether every file of a store can be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from detbench.errors import StoreError
from detbench.results import analyses, inventory
from detbench.results.files import read
from detbench.results.inventory import TEMPORARY, CellFiles
from detbench.results.schema import Damaged, Measurement

LEFT = "temporary, of a writer that was killed: prune removes it"
Rescore = Callable[[list[Measurement], list[dict[str, Any]]], str]
"""Given a cell's rows and detections, says what does not agree, or nothing."""


@dataclass(frozen=True)
class Finding:
    """One file that was looked at.

    Attributes:
        status: ``bad`` files cannot be believed; a ``warning`` says what is missing beside a sound
            one, or that a file is not looked at.
        message: empty if all is well.
        digest: of the cell; empty for a file that is none.
    """

    path: Path
    status: Literal["ok", "warning", "bad"]
    message: str = ""
    digest: str = ""


def verify(root: Path, rescore: Rescore | None = None) -> Iterator[Finding]:
    """Look at every file below ``cells`` and ``analyses``: readable, checksum, schema, right cell.

    Args:
        rescore: scores the detections once more.

    Raises:
        StoreError: there is no store, or the folder cannot be read.
    """
    found = inventory.scan(inventory.existing(root))
    if rescore:
        looked: Iterator[list[Finding]] = (list(_cell(cell, rescore)) for cell in found.cells)
    else:
        looked = inventory.each(lambda cell: list(_cell(cell, None)), found.cells)
    yield from chain.from_iterable(looked)
    yield from _analyses(root)
    for path in found.temporary:
        yield Finding(path, "warning", LEFT)
    for path in found.odd:
        yield Finding(path, "warning", "no file of detbench's: it is not looked at")


def _analyses(root: Path) -> Iterator[Finding]:
    """Tables of ``detbench analyze``, whole ones and parts."""
    found = analyses.scan(root)
    parts = [path for folder in found.parts for path in sorted(folder.iterdir())]
    of_parts = set(parts)

    def looked(path: Path) -> Finding:
        if path in of_parts and TEMPORARY.fullmatch(path.name):
            return Finding(path, "warning", LEFT)
        try:
            content = read(path)
            analyses.part(content, path) if path in of_parts else analyses.whole(content, path)
        except (Damaged, StoreError) as error:
            return _bad(path, "", error)
        return Finding(path, "ok")

    yield from inventory.each(looked, (*found.whole, *parts))
    for path in found.temporary:
        yield Finding(path, "warning", LEFT)
    for path in found.odd:
        yield Finding(path, "warning", "no file of detbench's: it is not looked at")


def _cell(cell: CellFiles, rescore: Rescore | None) -> Iterator[Finding]:
    measured: list[Measurement] | None = None
    for path in (cell.done, cell.failed):
        if path is None:
            continue
        try:
            rows = inventory.rows(path, cell)
        except (Damaged, StoreError) as error:
            yield _bad(path, cell.digest, error)
        else:
            measured = rows if path == cell.done else measured
            left = path == cell.failed and cell.done is not None
            said = "of an earlier failure: its cell is done, prune removes it" if left else ""
            yield Finding(path, "warning" if left else "ok", said, cell.digest)
    yield from _detections(cell, measured, rescore)


def _detections(
    cell: CellFiles, rows: list[Measurement] | None, rescore: Rescore | None
) -> Iterator[Finding]:
    path = cell.detections
    if path is None:
        if cell.done is not None and rows is not None and cell.kind == "train-eval":
            said = "no detections beside it: it can be reported, and not compared"
            yield Finding(cell.done, "warning", said, cell.digest)
        return
    try:
        found = inventory.detections(path, rows or ())
    except (Damaged, StoreError) as error:
        yield _bad(path, cell.digest, error)
        return
    if rows is None:
        said = "detections without their numbers: prune removes them"
        yield Finding(path, "warning", said, cell.digest)
        return
    said = rescore(rows, found) if rescore else ""
    yield Finding(path, _level(said), said.removeprefix(UNSCORED), cell.digest)


def _bad(path: Path, digest: str, error: Exception) -> Finding:
    """A file that cannot be read; without its path in the message, which the table has."""
    said = f"damaged: {error}"
    if not isinstance(error, Damaged):
        said = str(error).removeprefix(f"{path} ")
        said = said.replace(f"cannot read {path}", "cannot be read")
    return Finding(path, "bad", said, digest)


UNSCORED = "not re-scored: "
"""Begins what ``rescore`` says where it could not score, which is no fault of the file's."""


def _level(said: str) -> Literal["ok", "warning", "bad"]:
    if not said:
        return "ok"
    return "warning" if said.startswith(UNSCORED) else "bad"
