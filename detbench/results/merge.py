"""Taking another store's cells into this one: whole files, each verified before it is copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from detbench import temporary
from detbench.errors import StoreError
from detbench.results import inventory
from detbench.results.files import cells_lock, locked, read, write_atomic, writing
from detbench.results.inventory import CellFiles, different
from detbench.results.merge_work import set_aside
from detbench.results.schema import Damaged, Measurement

WRITTEN = ("copied", "replaced")
Action = Literal["copied", "same", "kept", "replaced", "refused"]


@dataclass(frozen=True)
class Merged:
    """What was done about one cell of the other store.

    Attributes:
        action: ``copied`` (new here), ``same`` (nothing to do), ``kept`` (a conflict, ours stays),
            ``replaced`` (a conflict, theirs was taken), ``refused`` (their file is damaged).
        message: why, where that is not plain.
    """

    source: Path
    kind: str
    digest: str
    action: Action
    message: str = ""


def merge(into: Path, source: Path, theirs: bool = False, dry: bool = False) -> Iterator[Merged]:
    """Bring the cells of ``source`` into the store ``into``.

    The rule: a cell that is not here, or is here failed or damaged and there done, is copied; one
    that has equal numbers is left; of two that are done with different numbers ours stays, unless
    ``theirs``. Whatever is copied is copied byte for byte, numbers after their detections.

    Args:
        dry: copy nothing.

    Raises:
        StoreError: there is no store, it is this one, or a folder cannot be read or written.
    """
    inventory.existing(source)
    if into.resolve() == source.resolve():
        raise StoreError(f"{source}: this is the folder to merge into: name another store")
    own = {(cell.kind, cell.digest): cell for cell in inventory.scan(into).cells}
    lock = cells_lock(into)
    for cell in inventory.scan(source).cells:
        ours = own.get((cell.kind, cell.digest))
        before = _facts(ours)
        merged = _decide(source, cell, ours, theirs)
        if merged and not dry and merged.action in WRITTEN:
            with locked(lock):
                # Another process may have written the cell since it was looked at.
                ours = inventory.cell(into, cell.kind, cell.digest)
                if _facts(ours) != before:
                    merged = _decide(source, cell, ours, theirs)
                merged = _carry_out(into, cell, ours, merged)
        if merged:
            yield merged


def _carry_out(
    into: Path, cell: CellFiles, ours: CellFiles, merged: Merged | None
) -> Merged | None:
    """Copy what was decided to be; the lock is held."""
    if merged is None or merged.action not in WRITTEN:
        return merged
    trained = merged.action == "replaced" and cell.kind == "train-eval"
    if trained and ours.measured is not None:
        said = set_aside(into, inventory.rows(ours.measured, ours))
        if said:
            return replace(merged, action="kept", message=said)
    _copy(into / "cells", cell, ours)
    return merged


def _facts(cell: CellFiles | None) -> list[tuple[int, int]]:
    """What changes when one of a cell's files does."""
    paths = (cell.done, cell.failed, cell.detections) if cell else ()
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            if path is not None:
                stat = path.stat()
                found.append((stat.st_ino, stat.st_mtime_ns))
    return found


def _decide(source: Path, cell: CellFiles, ours: CellFiles | None, theirs: bool) -> Merged | None:
    """What to do about a cell; none where the other store has no numbers of it."""

    def merged(action: Action, message: str = "") -> Merged:
        return Merged(source, cell.kind, cell.digest, action, message)

    if cell.measured is None:
        return None
    try:
        given = inventory.rows(cell.measured, cell)
        if cell.detections is not None:
            inventory.check_detections(cell.detections, given)
    except (Damaged, StoreError) as error:
        there = "damaged there: " if isinstance(error, Damaged) else ""
        return merged("refused", f"{there}{error}")
    if ours is None or ours.measured is None:
        return merged("copied")
    try:
        present = inventory.rows(ours.measured, ours)
    except Damaged:
        return merged("copied", "in place of a damaged file")
    if given[0].status == "failed":
        return merged("same", "failed there" if present[0].status != "failed" else "failed in both")
    if present[0].status == "failed":
        return merged("copied", "it had failed here")
    odd = different(present, given)
    if not odd:
        if cell.detections is not None and ours.detections is None:
            return merged("copied", "equal numbers, with the detections that were missing here")
        return merged("same")
    return merged("replaced" if theirs else "kept", _conflict(odd[0], present, given))


def _conflict(metric: str, ours: list[Measurement], theirs: list[Measurement]) -> str:
    def value(rows: list[Measurement]) -> str:
        row = next((row for row in rows if row.metric == metric), None)
        return "none" if row is None or row.value is None else f"{row.value:.6g}"

    return f"{metric} is {value(ours)} here and {value(theirs)} there"


def _copy(folder: Path, cell: CellFiles, ours: CellFiles | None) -> None:
    """Copy a cell's files; whenever this is stopped, numbers and detections belong together.

    They are on the disk before ours go, as it may be full.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path in (cell.detections, cell.measured):
            if path is not None:
                content = read(path)
                staged.append((temporary.beside(folder / path.name), folder / path.name))
                write_atomic(staged[-1][0], content)
        with writing(folder):
            for path in (ours.done, ours.failed, ours.detections) if ours else ():
                if path is not None:
                    path.unlink(missing_ok=True)
            for aside, target in staged:
                os.replace(aside, target)
    finally:
        for aside, _ in staged:
            aside.unlink(missing_ok=True)
