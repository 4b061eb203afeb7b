"""Analyses on disk, beside the cells: a parquet file each, and its parts while it is measured.

    <root>/analyses/<kind>-<key>.parquet          one row's, one seed's table; whole or not there
    <root>/analyses/<kind>-<key>.parts/           images that are done: an interrupted one goes on

The key is a hash of what the table depends on; all of it stands in the file's metadata. No torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from detbench import __version__
from detbench.analysis.kind import Columns, Kind, Settings
from detbench.analysis.subjects import Subject
from detbench.results import analyses
from detbench.results.files import read, reading, write_atomic
from detbench.results.schema import Damaged

log = logging.getLogger("detbench")
Check = Callable[[bytes, Path], tuple[Columns, dict[str, Any]]]


@dataclass(frozen=True)
class Looked:
    """Which images are looked at.

    Attributes:
        count: how many are drawn; none is all of them, 0 none at all.
        seed: of the draw.
    """

    count: int | None
    seed: int = 0

    def of(self, ids: Sequence[int]) -> list[int]:
        """Some of the images, ascending; [0] where none is looked at."""
        if self.count == 0:
            return [0]
        if self.count is None or self.count >= len(ids):
            return sorted(ids)
        rng = np.random.default_rng(self.seed)
        return sorted(int(one) for one in rng.choice(ids, self.count, replace=False))


@dataclass(frozen=True)
class Entry:
    """One row's, one seed's analysis.

    Attributes:
        facts: what the table depends on, as plain data.
    """

    root: Path
    kind: str
    facts: dict[str, Any]

    @property
    def key(self) -> str:
        return analyses.key(self.facts)

    @property
    def path(self) -> Path:
        return self.root / analyses.FOLDER / f"{self.kind}-{self.key}.parquet"

    @property
    def parts(self) -> Path:
        return self.path.with_suffix(".parts")

    def read(self) -> Columns | None:
        """The table; none if there is none, or a damaged one, which is warned of."""
        return _read(self.path, analyses.whole)

    def done(self, images: int) -> int:
        """How many images, of those in order, are done in parts."""
        ends = [0]
        for start, stop in sorted(map(_range, self.parts.glob("*.parquet"))):
            if start == ends[-1] and stop <= images and self._read(start, stop) is not None:
                ends.append(stop)
        return ends[-1]

    def keep(self, start: int, stop: int, table: Columns) -> None:
        """Store the images from ``start`` up to ``stop``."""
        write_atomic(self._part(start, stop), analyses.to_bytes(table, self.facts))

    def finish(self, images: int, said: dict[str, Any]) -> Columns:
        """Join the parts of all images to the table, and remove them.

        Args:
            said: further facts that the table does not depend on.
        """
        tables, at = [], 0
        for start, stop in sorted(map(_range, self.parts.glob("*.parquet"))):
            part = self._read(start, stop) if start == at and stop <= images else None
            if part is not None:
                tables.append(part)
                at = stop
        table = joined(tables)
        write_atomic(
            self.path, analyses.to_bytes(table, {**self.facts, **said, "detbench": __version__})
        )
        for path in self.parts.glob("*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.parts.rmdir()
        return table

    def _read(self, start: int, stop: int) -> Columns | None:
        return _read(self._part(start, stop), analyses.part)

    def _part(self, start: int, stop: int) -> Path:
        return self.parts / f"{start:07d}-{stop:07d}.parquet"


def entry(
    root: Path,
    kind: Kind,
    subject: Subject,
    settings: Settings,
    looked: Looked,
    source: Any = None,
) -> Entry:
    """Where an analysis is, or will be; ``source`` as ``Kind.source`` gives it."""
    facts: dict[str, Any] = {
        "kind": kind.name,
        "revision": kind.revision,
        "subject": subject.identity,
        "settings": dict(sorted(settings.items())),
        "images": looked.count,
        "image_seed": looked.seed if looked.count else None,
    }
    if source is not None:
        facts["source"] = source
    return Entry(root, kind.name, facts)


def listing(root: Path) -> list[Entry]:
    """Every analysis that is there, by the metadata of the files."""
    found = []
    for path in analyses.scan(root).whole:
        said = analyses.said(path)
        try:
            names = ("kind", "revision", "subject", "settings", "images", "image_seed")
            held = {name: said[name] for name in names}
            held |= {name: said[name] for name in ("source",) if name in said}
            one = Entry(root, str(said["kind"]), held)
        except (KeyError, TypeError):
            log.warning("warning: %s is damaged or none of ours, and is left out", path)
            continue
        found += [one] if one.path == path else []
    return found


def joined(tables: Sequence[Columns]) -> Columns:
    """Tables of the same columns, one after another."""
    names = list(tables[0])
    return {name: np.concatenate([one[name] for one in tables]) for name in names}


def _range(path: Path) -> tuple[int, int]:
    start, _, stop = path.stem.partition("-")
    return int(start), int(stop)


def _read(path: Path, check: Check) -> Columns | None:
    with reading(path):
        if not path.is_file():
            return None
    try:
        return check(read(path), path)[0]
    except Damaged as error:
        _warn(path, str(error))
        return None


@lru_cache(maxsize=1024)
def _warn(path: Path, error: str) -> None:
    """Say once that a file is damaged."""
    log.warning("warning: %s is damaged (%s): detbench analyze measures it again", path, error)
