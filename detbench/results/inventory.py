"""The files of a store as they lie there, sound or not."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from detbench.errors import StoreError
from detbench.results import detections as boxes
from detbench.results import schema
from detbench.results.files import read, reading
from detbench.results.schema import Damaged, Kind, Measurement

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4

_NAME = re.compile(
    r"(train-eval|cost|latency)-([0-9a-f]{64})\.(parquet|failed\.parquet|detections\.json\.gz)"
)
TEMPORARY = re.compile(r"\..*\.tmp")
OF_WORK = re.compile(
    r"lock|log\.txt|first\.json|curve\.jsonl|weights(?:\.replaced)?\.pt|checkpoint.*\.pt|"
    + TEMPORARY.pattern
)
"""What detbench writes into the folder of a training; all else there is the user's."""


@dataclass(frozen=True)
class CellFiles:
    """What a store has of one cell, by the files' names."""

    kind: Kind
    digest: str
    done: Path | None = None
    failed: Path | None = None
    detections: Path | None = None

    @property
    def measured(self) -> Path | None:
        """The file whose rows count, as ``Store.get`` takes it."""
        return self.done or self.failed


@dataclass(frozen=True)
class Inventory:
    """All files below ``cells``.

    Attributes:
        temporary: what a writer left that was killed, or that writes just now.
        odd: files that are none of ours.
    """

    cells: tuple[CellFiles, ...]
    temporary: tuple[Path, ...]
    odd: tuple[Path, ...]


def entries(folder: Path) -> list[str]:
    """Paths of what is in a folder, but for links that lead nowhere."""
    with os.scandir(folder) as found:
        return [one.path for one in found if not one.is_symlink() or os.path.exists(one)]


def scan(root: Path) -> Inventory:
    """List a store; one that is not there is empty.

    Raises:
        StoreError: the folder cannot be read.
    """
    folder = root / "cells"
    if not folder.is_dir():
        return Inventory((), (), ())
    with reading(folder):
        paths = sorted(map(Path, entries(folder)))
    found: dict[tuple[str, str], dict[str, Path]] = {}
    temporary: list[Path] = []
    odd: list[Path] = []
    for path in paths:
        if match := _NAME.fullmatch(path.name):
            part = {"parquet": "done", "failed.parquet": "failed"}.get(match[3], "detections")
            found.setdefault((match[1], match[2]), {})[part] = path
        else:
            (temporary if TEMPORARY.fullmatch(path.name) else odd).append(path)
    cells = (CellFiles(kind, digest, **parts) for (kind, digest), parts in found.items())  # type: ignore[arg-type]
    return Inventory(tuple(cells), tuple(temporary), tuple(odd))


def cell(root: Path, kind: Kind, digest: str) -> CellFiles:
    """What a store has of one cell."""
    folder = root / "cells"
    names = {"done": "parquet", "failed": "failed.parquet", "detections": "detections.json.gz"}
    paths = {part: folder / f"{kind}-{digest}.{ending}" for part, ending in names.items()}
    return CellFiles(kind, digest, **{part: one for part, one in paths.items() if one.exists()})


def each(work: Callable[[T], R], of: Iterable[T]) -> Iterator[R]:
    """``map`` in threads, a few ahead: half of the time that a file takes needs no interpreter."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(AHEAD) as threads:
        try:
            for one in of:
                waiting.append(threads.submit(work, one))
                if len(waiting) > 4 * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def rows(path: Path, cell: CellFiles) -> list[Measurement]:
    """The rows of a cell's file, checked.

    Raises:
        Damaged: it is truncated or garbled, or holds another cell's rows.
        StoreError: a newer detbench wrote it, or it cannot be read.
    """
    return rows_of(read(path), path, cell)


def rows_of(content: bytes, path: Path, cell: CellFiles) -> list[Measurement]:
    """As ``rows``, of a file's bytes."""
    found = schema.from_bytes(content, str(path))
    if any((row.digest, row.kind) != (cell.digest, cell.kind) for row in found):
        raise Damaged("its rows belong to another cell")
    failed = {row.status == "failed" for row in found}
    if failed != {path == cell.failed}:
        raise Damaged("its rows' status is not what its name says")
    return found


def detections(path: Path, bound: Sequence[Measurement] = ()) -> list[dict[str, Any]]:
    """A cell's detections, as COCO results.

    Args:
        bound: the cell's rows.

    Raises:
        Damaged: it is truncated, garbled, holds something else, or is not what these rows are of.
        StoreError: it cannot be read.
    """
    content = read(path)
    boxes.check(bound, content)
    return boxes.unpacked(content)


def check_detections(path: Path, bound: Sequence[Measurement]) -> None:
    """As ``detections``; those that rows are bound to are what was written, and not unpacked."""
    if boxes.is_bound(bound):
        boxes.check(bound, read(path))
    else:
        detections(path)


def different(ours: list[Measurement], theirs: list[Measurement]) -> list[str]:
    """Metrics of two measurements of one cell that do not have the same number."""
    values: list[dict[str, Any]] = [
        {row.metric: (row.value, row.unit) for row in rows} for rows in (ours, theirs)
    ]
    names = dict.fromkeys([*values[0], *values[1]])
    return [name for name in names if values[0].get(name) != values[1].get(name)]


def existing(root: Path) -> Path:
    """``root``, if there is a store.

    Raises:
        StoreError: there is none.
    """
    if (root / "cells").is_dir():
        return root
    if root.name == "cells" and root.is_dir():
        raise StoreError(f"{root}: name the results folder itself: {root.parent}")
    what = "holds no results (no folder 'cells')" if root.is_dir() else "is not there"
    raise StoreError(f"{root}: {what}: name a results folder with --results or $DETBENCH_RESULTS")
