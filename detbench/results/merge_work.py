"""Taking another store's weights, loss curves and logs, where they belong to the numbers here.

Nothing behind a link is read or written.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from detbench.errors import StoreError
from detbench.recipe.digest import training
from detbench.recipe.experiment import Cell
from detbench.results import inventory
from detbench.results.files import Lock, reading, replacing, writing
from detbench.results.schema import Damaged, Measurement

WEIGHTS = "weights.pt"
KEPT = (WEIGHTS, "curve.jsonl", "first.json", "log.txt")
REPLACED = "weights.replaced.pt"
"""Weights of numbers that another store's took the place of."""

log = logging.getLogger("detbench")


def merge_work(into: Path, source: Path, dry: bool = False) -> Iterator[Path]:
    """Copy what is left of trainings that this store has no weights of.

    Where numbers here are not those that the other store has of a training, its weights would be
    taken for what they were measured with: they are left there, which is warned of.

    Yields:
        The files that are new here.

    Raises:
        StoreError: a folder cannot be read or written.
    """
    names = [name for name in _trained(source) if not (into / "work" / name / WEIGHTS).exists()]
    own = _by_training(into) if names else {}
    for name in names:
        target, folder = into / "work" / name, source / "work" / name
        if said := _unfit(own.get(name, ()), source) or _linked(target):
            log.warning("warning: %s is left there: %s", folder / WEIGHTS, said)
            continue
        files = [one for one in KEPT if _plain(folder / one)]
        if dry:
            yield from (target / one for one in files)
            continue
        lock = Lock(target / "lock")
        if not lock.acquire():
            continue  # a run here trains it just now
        _clear(target)
        # The weights last, as they make the training done.
        for one in reversed(files):
            yield _copy_file(folder / one, target / one)
        lock.release()


def set_aside(into: Path, rows: Sequence[Measurement]) -> str:
    """Part numbers that are about to be replaced from the weights here that they are of.

    Returns:
        Why they cannot be; empty if they were, or there are none.
    """
    folder = into / "work" / training_of(rows)
    if not (folder / WEIGHTS).exists():
        return ""
    if said := _linked(folder):
        return said
    lock = Lock(folder / "lock")
    if not lock.acquire():
        return "a run here holds its training just now"
    _clear(folder)
    with writing(folder):
        os.replace(folder / WEIGHTS, folder / REPLACED)
    lock.release()
    return ""


def training_of(rows: Sequence[Measurement]) -> str:
    """Name of the training that a cell's numbers are of."""
    try:
        return training(Cell.of_plain(rows[0].provenance.get("recipe")))
    except ValidationError:  # of another detbench
        return rows[0].digest


def _trained(source: Path) -> list[str]:
    """Trainings with weights."""
    folder = source / "work"
    if not folder.is_dir():
        return []
    with reading(folder):
        return sorted(
            path.name
            for path in folder.iterdir()
            if not path.is_symlink() and _plain(path / WEIGHTS)
        )


def _by_training(root: Path) -> dict[str, list[list[Measurement]]]:
    """The rows of what is done, by training."""
    found: dict[str, list[list[Measurement]]] = {}
    for cell in inventory.scan(root).cells:
        if cell.kind == "train-eval" and cell.done is not None:
            try:
                rows = inventory.rows(cell.done, cell)
            except (Damaged, StoreError):
                continue
            found.setdefault(training_of(rows), []).append(rows)
    return found


def _unfit(own: Sequence[list[Measurement]], source: Path) -> str:
    """Why weights there are not what numbers here were measured with; empty if they are."""
    for rows in own:
        cell = inventory.cell(source, rows[0].kind, rows[0].digest)
        try:
            theirs = inventory.rows(cell.done, cell) if cell.done else None
        except (Damaged, StoreError):
            theirs = None
        if theirs is None or inventory.different(rows, theirs):
            return f"cell {rows[0].digest[:12]} has other numbers here, of other weights"
    return ""


def _clear(folder: Path) -> None:
    """Remove what is left of a training but its weights: with others, it is of another."""
    with writing(folder):
        for path in [*folder.glob("checkpoint*.pt"), *(folder / one for one in KEPT[1:])]:
            path.unlink(missing_ok=True)


def _linked(folder: Path) -> str:
    return f"{folder} is a link, and nothing is written behind one" if folder.is_symlink() else ""


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _copy_file(source: Path, target: Path) -> Path:
    """Copy a file that may be too big for memory; it appears whole or not at all."""
    with writing(target), replacing(target) as aside:
        shutil.copyfile(source, aside)
    return target
