"""The results folder: one small file per finished cell, named by the cell's digest.

    <root>/cells/<kind>-<digest>.parquet                the numbers: its presence means done
    <root>/cells/<kind>-<digest>.failed.parquet         why the cell has none
    <root>/cells/<kind>-<digest>.detections.json.gz     COCO results JSON
    <root>/derived/<what>/<digest>-<key>.json           what reports computed from its detections
    <root>/work/<digest>/                               lock, checkpoint, loss curve, log, weights

A ``work`` folder belongs to a training: cells that only evaluate it otherwise share it. What is
derived takes a twentieth of the detections' space, and serves in their place where they are gone.

Files under ``cells`` and ``derived`` are written whole to a temporary name, synced and renamed, so
a reader sees all of a cell or nothing, whatever is killed when. They may be committed and copied
between stores; ``work`` need not be kept.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detbench import inputs
from detbench.errors import CellFailed, StoreError
from detbench.results import detections as boxes
from detbench.results import inventory, schema
from detbench.results.files import cells_lock, locked, read, reading, write_atomic, writing
from detbench.results.inventory import OF_WORK
from detbench.results.schema import KINDS, Kind, Measurement, Status

log = logging.getLogger("detbench")


@dataclass(frozen=True)
class Stored:
    """One cell of the store: its rows and the status and reason they share."""

    rows: tuple[Measurement, ...]

    @property
    def status(self) -> Status:
        return self.rows[0].status

    @property
    def reason(self) -> str:
        return self.rows[0].reason if self.status != "done" else ""

    def value(self, metric: str) -> float | None:
        """The number of ``metric``, or none."""
        row = self.row(metric)
        return row.value if row else None

    def row(self, metric: str) -> Measurement | None:
        return next((row for row in self.rows if row.metric == metric), None)


class Store:
    """Measurements under a root folder, which need not exist yet.

    Raises:
        StoreError: the root is a file.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise StoreError(
                f"{root} is a file, not a folder of results: choose a folder with --results or "
                "$DETBENCH_RESULTS"
            )
        self.root = root
        self.cells = root / "cells"
        self._warned: set[Path] = set()

    def snapshot(self) -> Store:
        """The same store, reading each cell's rows once: for reports, which ask again and again."""
        return _Snapshot(self)

    def work(self, name: str) -> Path:
        """The folder of what a training (by its digest) or a count leaves beside measurements; not
        created."""
        return self.root / "work" / name

    def derived(self, what: str) -> Path:
        """The folder of what is computed from detections, of one kind; not created."""
        return self.root / "derived" / what

    def get(self, digest: str) -> Stored | None:
        """A cell's rows; none if it has not run, or if its file is damaged (which is warned of)."""
        for kind in KINDS:
            for path in (self._done(kind, digest), self._failed(kind, digest)):
                rows = self._read(path, digest)
                if rows:
                    return Stored(tuple(rows))
        return None

    def status(self, digest: str) -> Status | Literal["missing"]:
        """``done``, ``failed``, ``skipped``, or ``missing`` (damaged files are missing)."""
        stored = self.get(digest)
        return stored.status if stored else "missing"

    def rows(self, digests: Iterable[str]) -> list[Measurement]:
        """All rows of these cells; missing cells have none."""
        found = (self.get(digest) for digest in dict.fromkeys(digests))
        return [row for stored in found if stored for row in stored.rows]

    def listing(self) -> dict[str, Status]:
        """Digest -> status by the files' names alone, without opening one: for overviews."""
        found: dict[str, Status] = {}
        if not self.cells.is_dir():
            return found
        with reading(self.cells):
            names = sorted(os.path.basename(path) for path in inventory.entries(self.cells))
        for name in names:
            digest, _, ending = name.partition(".")
            digest = digest.rpartition("-")[2]
            if ending == "parquet":
                found[digest] = "done"
            elif ending == "failed.parquet":
                found.setdefault(digest, "failed")
        return found

    def done(self) -> set[str]:
        """Digests of the cells that are done, by the files' names alone."""
        return {digest for digest, status in self.listing().items() if status == "done"}

    def add(self, rows: list[Measurement], detections: list[dict[str, Any]] | None = None) -> None:
        """Store one finished cell; whatever was stored of it before is replaced.

        Args:
            rows: of one digest and kind, at least one.
            detections: COCO results; written first, since the rows' file is what makes it done.

        Raises:
            StoreError: the folder cannot be written (no space, no permission).
            CellFailed: a number, a box or a score is not finite.
        """
        odd = [row.metric for row in rows if not math.isfinite(row.value or 0.0)]
        if odd:
            raise CellFailed(f"{odd[0]} is not finite, and no such is stored")
        kind, digest, status = rows[0].kind, rows[0].digest, rows[0].status
        if any((row.kind, row.digest, row.status) != (kind, digest, status) for row in rows):
            raise ValueError("the rows of one file belong to one cell and share its status")
        packed = None if detections is None else boxes.packed(detections)
        if packed is not None:
            rows = boxes.bound(rows, packed)
        with locked(cells_lock(self.root)):
            if packed is not None:
                write_atomic(self._detections(digest), packed)
            if status == "failed":
                write_atomic(self._failed(kind, digest), schema.to_bytes(rows))
                return
            write_atomic(self._done(kind, digest), schema.to_bytes(rows))
            with writing(self.cells):
                self._failed(kind, digest).unlink(missing_ok=True)

    def detections(self, digest: str) -> list[dict[str, Any]] | None:
        """A cell's detections as COCO results; none if none are stored.

        Raises:
            StoreError: the file is damaged, or is not the one that the cell's numbers are of.
        """
        path = self._detections(digest)
        if not path.exists():
            return None
        try:
            content = read(path)
            stored = self.get(digest)
            boxes.check(stored.rows if stored else (), content)
            return boxes.unpacked(content)
        except schema.Damaged as error:
            raise StoreError(
                f"{path} is damaged ({error}): delete it and run the table again with --fresh"
            ) from error

    def has_detections(self, digest: str) -> bool:
        """Whether a cell's file of detections is here."""
        with reading(path := self._detections(digest)):
            return path.exists()

    def fingerprint(self, digest: str) -> str | None:
        """Which detections a cell has or, where its numbers say so, had, without reading them; none
        if none are known.
        """
        stored = self.get(digest)
        if stored and boxes.is_bound(stored.rows):
            return str(stored.rows[0].provenance[boxes.KEY])
        path = self._detections(digest)
        with reading(path):
            try:
                with path.open("rb") as file:
                    file.seek(-8, os.SEEK_END)  # gzip ends in its content's checksum and length
                    return file.read().hex()
            except FileNotFoundError:
                return None
            except OSError:  # shorter than any gzip file: damaged, as reading it will say
                return ""

    def detections_of(self, digest: str, label: str) -> list[dict[str, Any]]:
        """As ``detections``; having none is an error, which ``label`` names the cell in."""
        found = self.detections(digest)
        if found is None:
            raise StoreError(f"{label}: no detections are stored")
        return found

    def discard(self, digest: str, work: str | None = None) -> None:
        """Forget a cell's measurements, and what detbench wrote into the folder ``work``, if one is
        named; what else lies there stays.

        Raises:
            StoreError: that folder is a link.
        """
        if work is not None and self.work(work).is_symlink():
            raise StoreError(
                f"{self.work(work)} is a link, behind which nothing is removed: remove it"
            )
        with writing(self.root):
            for kind in KINDS:
                self._done(kind, digest).unlink(missing_ok=True)
                self._failed(kind, digest).unlink(missing_ok=True)
            self._detections(digest).unlink(missing_ok=True)
            if work is not None and self.work(work).is_dir():
                for path in self.work(work).iterdir():
                    # The lock stays: another process may be waiting on this very file.
                    ours = OF_WORK.fullmatch(path.name) and path.name != "lock"
                    if ours and (path.is_symlink() or path.is_file()):
                        path.unlink()

    def _done(self, kind: Kind, digest: str) -> Path:
        return self.cells / f"{kind}-{digest}.parquet"

    def _failed(self, kind: Kind, digest: str) -> Path:
        return self.cells / f"{kind}-{digest}.failed.parquet"

    def _detections(self, digest: str) -> Path:
        return self.cells / f"train-eval-{digest}.detections.json.gz"

    def _read(self, path: Path, digest: str) -> list[Measurement]:
        """Rows of one file, empty if there is none; a damaged one is warned of, once."""
        with reading(path):
            try:
                content = inputs.content(path)
            except FileNotFoundError:
                return []
        try:
            rows = schema.from_bytes(content, str(path))
            if any(row.digest != digest for row in rows):
                raise schema.Damaged("its rows belong to another cell")
        except schema.Damaged as error:
            if path not in self._warned:
                self._warned.add(path)
                log.warning(
                    "warning: %s is damaged (%s); its cell is treated as missing and will be "
                    "measured again",
                    path,
                    error,
                )
            return []
        return rows


class _Snapshot(Store):
    """A store whose rows are remembered from the first time they are read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.root)
        self._warned = store._warned
        self._seen: dict[str, Stored | None] = {}

    def snapshot(self) -> Store:
        return self

    def get(self, digest: str) -> Stored | None:
        if digest not in self._seen:
            self._seen[digest] = super().get(digest)
        return self._seen[digest]
