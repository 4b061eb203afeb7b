"""Taking another store's cells into this one: whole files, each verified before it is copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from detbench import temporary
from detbench.errors import StoreError
from detbench.results import analyses, cache, inventory
from detbench.results.files import (
    Lock,
    cells_lock,
    locked,
    read,
    reading,
    sync,
    write_atomic,
    writing,
)
from detbench.results.inventory import CellFiles, different
from detbench.results.merge_work import set_aside
from detbench.results.schema import Damaged, Measurement

AT_ONCE = 256
"""So many cells are on the disk before the first takes its place: waiting for it takes the time."""
WRITTEN = ("copied", "replaced")
Action = Literal["copied", "same", "kept", "replaced", "refused"]


@dataclass(frozen=True)
class Merged:
    """What was done about one cell or analysis of the other store.

    Attributes:
        kind, digest: of the cell; ``analysis`` and the file's name without ending.
        action: ``copied`` (new here), ``same`` (nothing to do), ``kept`` (a conflict, ours stays),
            ``replaced`` (a conflict, theirs was taken), ``refused`` (their file is damaged).
        message: why, where that is not plain.
    """

    source: Path
    kind: str
    digest: str
    action: Action
    message: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the numbers here are from now on those there."""
        return self.action in WRITTEN or (self.action == "same" and "failed" not in self.message)


def merge(into: Path, source: Path, theirs: bool = False, dry: bool = False) -> Iterator[Merged]:
    """Bring the cells of ``source`` into the store ``into``.

    The rule: a cell that is not here, or is here failed or damaged and there done, is copied; one
    that has equal numbers is left; of two that are done with different numbers ours stays, unless
    ``theirs``. Whatever is copied is copied byte for byte, numbers after their detections. What
    reports computed from detections comes with them, and so do analyses.

    Args:
        dry: copy nothing.

    Raises:
        StoreError: there is no store, it is this one, or a folder cannot be read or written.
    """
    inventory.existing(source)
    if into.resolve() == source.resolve():
        raise StoreError(f"{source}: this is the folder to merge into: name another store")
    own = {(cell.kind, cell.digest): cell for cell in inventory.scan(into).cells}

    def decided(cell: CellFiles) -> _Choice:
        ours = own.get((cell.kind, cell.digest))
        before = _facts(ours)
        return _Choice(cell, before, _decide(source, cell, ours, theirs))

    pending: list[_Choice] = []
    fit: set[str] = set()
    lock = cells_lock(into)
    given = inventory.scan(source).cells
    for choice in chain(inventory.each(decided, given), [None]):
        if choice is not None:
            pending.append(choice)
        if choice is None or len(pending) == AT_ONCE:
            for one in _carry_out(into, lock, pending, theirs, dry):
                fit |= {one.digest} if one.agrees else set()
                yield one
            pending = []
    if not dry:
        _take_derived(into, source)
    done, there = (
        {cell.digest for cell in cells if cell.done is not None} for cells in (own.values(), given)
    )
    for table in analyses.merge(into, source, analyses.Sides(done, there, fit), theirs):
        if table.content and not dry:
            write_atomic(into / analyses.FOLDER / f"{table.name}.parquet", table.content)
        yield Merged(source, "analysis", table.name, table.action, table.message)


def _take_derived(into: Path, source: Path) -> None:
    """Copy what reports computed there and not here; a file's name says of which detections."""
    folder = source / "derived"
    if not folder.is_dir():
        return
    with reading(folder):
        paths = sorted(folder.glob("*/*.json"))
    for path in paths:
        target = into / path.relative_to(source)
        if target.exists() or path.is_symlink() or path.parent.is_symlink():
            continue
        if cache.read(path) is not None:
            write_atomic(target, read(path))


@dataclass
class _Choice:
    """What is to be done about a cell, and what was here of it when that was decided."""

    cell: CellFiles
    before: list[tuple[int, int]]
    merged: Merged | None

    @property
    def writes(self) -> bool:
        return self.merged is not None and self.merged.action in WRITTEN

    def settle(self, into: Path, theirs: bool) -> CellFiles:
        """What is here, once nobody else writes; decided again if that is not as it was."""
        ours = inventory.cell(into, self.cell.kind, self.cell.digest)
        if self.merged and _facts(ours) != self.before:
            self.merged = _decide(self.merged.source, self.cell, ours, theirs)
        if self.merged and self.merged.action == "replaced" and self.cell.kind == "train-eval":
            said = set_aside(into, inventory.rows(ours.measured, ours)) if ours.measured else ""
            if said:
                self.merged = replace(self.merged, action="kept", message=said)
        return ours


def _carry_out(
    into: Path, lock: Lock, choices: list[_Choice], theirs: bool, dry: bool
) -> Iterator[Merged]:
    """Copy what was decided to be."""
    written = [choice for choice in choices if choice.writes and not dry]
    if written:
        with locked(lock):
            pairs = [(choice.settle(into, theirs), choice) for choice in written]
            # Analyses of numbers that go are of weights that have gone.
            changed = {
                choice.cell.digest
                for _, choice in pairs
                if choice.merged and choice.merged.action == "replaced"
            }
            analyses.discard(into, changed)
            _copy(into / "cells", [(choice.cell, ours) for ours, choice in pairs if choice.writes])
    yield from (choice.merged for choice in choices if choice.merged)


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
        content = read(cell.measured)
        given = inventory.rows_of(content, cell.measured, cell)
        if cell.detections is not None:
            inventory.check_detections(cell.detections, given)
    except (Damaged, StoreError) as error:
        there = "damaged there: " if isinstance(error, Damaged) else ""
        return merged("refused", f"{there}{error}")
    if ours is None or ours.measured is None:
        return merged("copied")
    try:
        same = ours.measured.name == cell.measured.name and read(ours.measured) == content
        present = given if same else inventory.rows(ours.measured, ours)
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


def _copy(folder: Path, cells: list[tuple[CellFiles, CellFiles]]) -> None:
    """Copy the files of cells, each with what is here of it; whenever this is stopped, numbers and
    detections belong together.

    All are on the disk before the first of ours goes, as it may be full.
    """
    staged: list[tuple[CellFiles, list[tuple[Path, Path]]]] = []
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for cell, ours in cells:
                paths = [path for path in (cell.detections, cell.measured) if path is not None]
                pairs = [(temporary.named(folder / path.name), path) for path in paths]
                staged.append((ours, [(aside, folder / path.name) for aside, path in pairs]))
                for aside, path in pairs:
                    aside.write_bytes(read(path))
            sync(folder, [aside for _, moves in staged for aside, _ in moves])
            for ours, moves in staged:
                for old in (ours.done, ours.failed, ours.detections):
                    if old is not None:
                        old.unlink(missing_ok=True)
                for aside, target in moves:
                    os.replace(aside, target)
            sync(folder, [])
    finally:
        for aside in (aside for _, moves in staged for aside, _ in moves):
            aside.unlink(missing_ok=True)
