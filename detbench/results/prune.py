"""What a store can do without: leftovers of killed writers, damaged files, work that is done.

Measurements are never removed, nor their detections unless asked for, nor what an unfinished
training goes on from, nor what detbench has not written, nor anything behind a link.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detbench.errors import StoreError
from detbench.results import analyses, inventory
from detbench.results import detections as boxes
from detbench.results.files import Lock, held, read, reading, writing
from detbench.results.inventory import OF_WORK, TEMPORARY, CellFiles
from detbench.results.schema import Damaged, Measurement
from detbench.temporary import orphaned

ASIDE = "damaged"
"""Folder below the store's root for files that cannot be read."""

_TRAINING = re.compile(r"[0-9a-f]{64}")
_YOUNG_S = 3600.0  # what is younger may be being written


@dataclass(frozen=True)
class Item:
    """A file or folder to do without.

    Attributes:
        action: ``delete``, ``move`` below ``damaged``, or ``keep`` what is not detbench's.
        size: in bytes.
    """

    path: Path
    action: Literal["delete", "move", "keep"]
    why: str
    size: int


def plan(root: Path, weights: bool = False, detections: bool = False) -> Iterator[Item]:
    """What can go.

    Args:
        weights: also the weights of trainings that are done; without them a cell that only
            evaluates differently trains again.
        detections: also those that numbers are bound to, of which what reports computed stays.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    found = inventory.scan(inventory.existing(root))
    for path in found.temporary:
        if orphaned(path):
            yield Item(path, "delete", "left by a writer that was killed", _size(path))
    for items in inventory.each(lambda cell: list(_cell(cell, detections)), found.cells):
        yield from items
    yield from _analyses(root, {cell.digest for cell in found.cells})
    work = root / "work"
    if work.is_dir():
        with reading(work):
            folders = sorted(path for path in work.iterdir() if _TRAINING.fullmatch(path.name))
        for folder in folders:
            yield from _work(folder, weights)


def carry_out(root: Path, items: list[Item]) -> list[Item]:
    """Delete and move; work folders that a run has taken meanwhile are left.

    Returns:
        What was done.

    Raises:
        StoreError: something cannot be deleted or moved.
    """
    done = []
    for item in items:
        if item.action == "keep":
            done.append(item)
            continue
        lock = None
        folder = next((p for p in (item.path, item.path.parent) if p.parent == root / "work"), None)
        if folder is not None:
            lock = Lock(folder / "lock")
            if not lock.acquire():
                continue
        with writing(item.path):
            _apply(root, item)
        if lock is not None:
            lock.release()
        done.append(item)
    return done


def _apply(root: Path, item: Item) -> None:
    if item.action == "move":
        target = root / ASIDE / item.path.name
        target.parent.mkdir(exist_ok=True)
        number = 1
        while target.exists():
            number += 1
            target = target.with_name(f"{item.path.name}.{number}")
        os.replace(item.path, target)
    elif item.path.is_dir() and not item.path.is_symlink():  # of a training, with its lock alone
        (item.path / "lock").unlink(missing_ok=True)
        item.path.rmdir()
    else:
        item.path.unlink(missing_ok=True)


def _cell(cell: CellFiles, detections: bool) -> Iterator[Item]:
    rows: list[Measurement] = []
    for path in (cell.done, cell.failed):
        if path is None:
            continue
        try:
            found = inventory.rows(path, cell)
            rows = rows or found
            if path == cell.failed and cell.done is not None:
                yield Item(path, "delete", "its cell is done", _size(path))
        except Damaged as error:
            yield Item(path, "move", f"damaged: {error}", _size(path))
        except StoreError:
            continue  # of a newer detbench, or unreadable: verify tells
    if (path := cell.detections) is None:
        return
    try:
        inventory.check_detections(path, rows)
        if cell.measured is None and time.time() - path.stat().st_mtime > _YOUNG_S:
            yield Item(path, "delete", "detections without their numbers", _size(path))
        elif cell.done is not None and detections:
            known = boxes.is_bound(rows)
            why = "whose numbers say" if known else "kept: no number says"
            action: Literal["delete", "keep"] = "delete" if known else "keep"
            yield Item(path, action, f"detections, {why} which they are of", _size(path))
    except Damaged as error:
        yield Item(path, "move", f"damaged: {error}", _size(path))
    except StoreError:
        return


def _analyses(root: Path, cells: set[str]) -> Iterator[Item]:
    """Tables that are damaged, whose cells are gone, and parts of those that are whole."""
    found = analyses.scan(root)

    def looked(path: Path) -> list[Item]:
        try:
            digest = analyses.cell_of(analyses.whole(read(path), path)[1])
        except Damaged as error:
            return [Item(path, "move", f"damaged: {error}", _size(path))]
        except StoreError:
            return []
        young = time.time() - path.stat().st_mtime < _YOUNG_S
        gone = digest and digest not in cells and not young
        return [Item(path, "delete", "of a cell that is not here", _size(path))] if gone else []

    whole = set(found.whole)
    for items in inventory.each(looked, found.whole):
        yield from items
        whole -= {item.path for item in items}
    for folder in found.parts:
        if folder.with_suffix(".parquet") in whole and not held(folder.with_suffix(".lock")):
            for path in sorted(folder.iterdir()):
                yield Item(path, "delete", "parts of an analysis that is done", _size(path))
            yield Item(folder, "delete", "an empty folder", 0)
    for path in found.temporary:
        if orphaned(path):
            yield Item(path, "delete", "left by a writer that was killed", _size(path))
    for path in found.odd:
        yield Item(path, "keep", "not detbench's", _size(path))


def _work(folder: Path, weights: bool) -> Iterator[Item]:
    """Of a training that is done all but its loss curve and, unless asked for, its weights."""
    if folder.is_symlink():
        yield Item(folder, "keep", "a link: what is behind it is not touched", 0)
        return
    with reading(folder):
        names = {path.name for path in folder.iterdir()}
    if held(folder / "lock"):
        return
    if names <= {"lock"}:
        yield Item(folder, "delete", "an empty work folder", 0)
        return
    for name in sorted(names):
        path = folder / name
        if not OF_WORK.fullmatch(name) or path.is_symlink() or not path.is_file():
            yield Item(path, "keep", "not detbench's", _size(path))
        elif TEMPORARY.fullmatch(name):
            if orphaned(path):
                yield Item(path, "delete", "left by a writer that was killed", _size(path))
        elif "weights.pt" not in names:
            continue  # unfinished: it goes on from its checkpoint
        elif name == "weights.pt" and weights:
            yield Item(path, "delete", "weights of a training that is done", _size(path))
        elif name not in ("lock", "curve.jsonl", "first.json", "weights.pt"):
            yield Item(path, "delete", "of a training that is done", _size(path))


def _size(path: Path) -> int:
    """Bytes of a file; nothing of a folder or a link, which are not gone into."""
    found = path.lstat()
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
