"""Whether a data set is sound: its annotations read whole, its images decoded. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from detbench.data import images, shared
from detbench.data.coco_check import Table, missing_files
from detbench.data.kinds import Data
from detbench.errors import DataError
from detbench.progress import Tell

_AT_ONCE = 512


@dataclass(frozen=True)
class Report:
    """One split.

    Attributes:
        source: the annotation file, or the folder of them.
        images, objects: how many are annotated; none where the annotations cannot be read.
        crowds: objects that are not learnt from: COCO's crowds, VOC's difficult ones.
        empty: images without an object.
        decoded: how many images were decoded.
        problems: each a sentence that names the file.
        notes: what the settings of the data set changed, each a sentence.
    """

    split: str
    source: str
    images: int | None
    objects: int | None
    crowds: int | None
    empty: int | None
    decoded: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def inspect(data: Data, root: Path, decode: bool, tell: Tell) -> list[Report]:
    """Look at both splits of a data set on disk; one that serves as both is looked at once.

    Args:
        decode: every image, and not only whether it is there.

    Returns:
        Reports; for ``shapes``, which is drawn, none.
    """
    tables: dict[str, Table] = {}
    places: list[list[str]] = []
    reports = []
    unlike = data.unlike(root)
    for key, (source, folder) in unlike:
        split = "train, val" if len(unlike) == 1 else key
        faults: list[str] = []
        table: Table | None = None
        try:
            table, faults = data.sifted(key, root)
            if table is None:
                raise DataError(faults.pop())
            if not faults:
                tables[split] = table
            places.append(shared.places(folder, table.file_names))
            missing = missing_files(folder, table.file_names)
        except DataError as error:
            known = _numbers(table)
            reports.append(Report(split, str(source), *known, 0, (*faults, str(error))))
            continue
        problems = faults + [f"image {folder / name} is not there" for name in missing]
        decoded = 0
        if decode:
            found = list(_damaged(table, folder, set(missing), tell))
            decoded = len(table.file_names) - len(missing)
            problems += found
        notes = tuple(table.edited.said(len(table.ids)))
        numbers = _numbers(table)
        reports.append(Report(split, str(source), *numbers, decoded, tuple(problems), notes))
    both = (*_between(tables), *shared.sentences(places, content=decode))
    return [*reports, *([Report("both", "", None, None, None, None, 0, both)] if both else [])]


def _numbers(table: Table | None) -> tuple[int | None, int | None, int | None, int | None]:
    if table is None:
        return None, None, None, None
    count = len(table.file_names)
    empty = count - len(np.unique(table.image_rows))
    return count, len(table.ids), int(np.count_nonzero(table.crowd)), empty


def _damaged(table: Table, folder: Path, missing: set[str], tell: Tell) -> Iterator[str]:
    """What is wrong with the images that are there, by several threads: decoding frees the GIL."""
    rows = [row for row, name in enumerate(table.file_names) if name not in missing]

    def look(row: int) -> str | None:
        width, height = table.image_sizes[row].tolist()
        try:
            images.check(folder / table.file_names[row], (height, width), table.source(row))
        except DataError as error:
            return str(error)
        return None

    done, rest = 0, iter(rows)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while some := list(islice(rest, _AT_ONCE)):
            yield from (problem for problem in pool.map(look, some) if problem)
            done += len(some)
            tell(done, len(rows))


def _between(tables: dict[str, Table]) -> list[str]:
    """What is wrong with the splits together."""
    names = [[name for _, name in table.categories] for table in tables.values()]
    if len(names) < 2 or names[0] == names[1]:
        return []
    odd = sorted(set(names[0]) ^ set(names[1])) or ["their order"]
    said = (
        f"the train split has {len(names[0])} classes and the val split {len(names[1])}, and they "
        f"differ ({', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''})"
    )
    return [said]
