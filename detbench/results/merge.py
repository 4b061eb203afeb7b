"""Taking another store's cells into this one: whole files, each verified before it is copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detbench.errors import StoreError
from detbench.results import inventory
from detbench.results.files import Lock, read, reading, replacing, write_atomic, writing
from detbench.results.inventory import CellFiles
from detbench.results.schema import Damaged, Measurement

Action = Literal["copied", "same", "kept", "replaced", "refused"]
KEPT_OF_WORK = ("weights.pt", "curve.jsonl", "first.json", "log.txt")


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
    for cell in inventory.scan(source).cells:
        ours = own.get((cell.kind, cell.digest))
        merged = _decide(source, cell, ours, theirs)
        if merged and not dry and merged.action in ("copied", "replaced"):
            _copy(into / "cells", cell, ours)
        if merged:
            yield merged


def merge_work(into: Path, source: Path, dry: bool = False) -> Iterator[Path]:
    """Copy weights, loss curves and logs of trainings that this store has none of.

    Yields:
        The files that are new here.

    Raises:
        StoreError: a folder cannot be read or written.
    """
    folder = source / "work"
    if not folder.is_dir():
        return
    with reading(folder):
        names = sorted(path.name for path in folder.iterdir() if (path / "weights.pt").is_file())
    for name in names:
        target = into / "work" / name
        if (target / "weights.pt").exists():
            continue
        if dry:
            yield from (target / one for one in KEPT_OF_WORK if (folder / name / one).is_file())
            continue
        lock = Lock(target / "lock")
        if not lock.acquire():
            continue  # a run here trains it just now
        # The weights last, as they make the training done.
        for one in reversed(KEPT_OF_WORK):
            if (folder / name / one).is_file():
                yield _copy_file(folder / name / one, target / one)
        lock.release()


def different(ours: list[Measurement], theirs: list[Measurement]) -> list[str]:
    """Metrics of two measurements of one cell that do not have the same number."""
    values: list[dict[str, Any]] = [
        {row.metric: (row.value, row.unit) for row in rows} for rows in (ours, theirs)
    ]
    names = dict.fromkeys([*values[0], *values[1]])
    return [name for name in names if values[0].get(name) != values[1].get(name)]


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
                staged.append((folder / f".{path.name}.{os.getpid()}.tmp", folder / path.name))
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


def _copy_file(source: Path, target: Path) -> Path:
    """Copy a file that may be too big for memory; it appears whole or not at all."""
    with writing(target), replacing(target) as aside:
        shutil.copyfile(source, aside)
    return target
