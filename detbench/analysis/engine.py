"""Measuring what is missing of an analysis, and reading what is there. No torch until it must.

Every image's table depends on that image and its place among those looked at alone, so that one
measured in parts is the whole one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.analysis import files, groups
from detbench.analysis.files import Entry, Looked
from detbench.analysis.kind import Analysis, Asked, Columns, Kind, Measured, Settings
from detbench.analysis.subjects import Subject
from detbench.errors import DataError, RecipeError, StoreError
from detbench.evaluation.detections import image_ids, truth_columns
from detbench.evaluation.truth import Truths
from detbench.progress import Progress, Report, silent
from detbench.recipe.digest import digest
from detbench.results.files import Lock
from detbench.results.store import Store
from detbench.training import curve

EVERY_S = 20.0
"""How long images are measured before they are stored."""

Open = Callable[[Subject], Any]


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        rows: each with its seeds, the baseline first.
        looked: which images.
        open: makes the detector of a training, with its data; without it nothing is measured.
    """

    kind: Kind
    rows: tuple[tuple[Subject, ...], ...]
    settings: Settings
    looked: Looked
    store: Store
    truths: Truths
    open: Open | None = None

    def entry(self, subject: Subject) -> Entry:
        """Where a training's table is, or will be."""
        source = self.kind.source(subject, self.store) if self.kind.source else None
        return files.entry(
            *(self.store.root, self.kind, subject, self.settings, self.looked), source
        )

    @property
    def missing(self) -> list[Subject]:
        """Trainings without a table; with a damaged one, too."""
        every = [one for row in self.rows for one in row]
        return [one for one in every if self.entry(one).read() is None]


def run(request: Request, report: Report = silent) -> Analysis:
    """The analysis, with what was missing of it measured and stored.

    Raises:
        RecipeError: the rows are not of the same data.
        StoreError: something is missing, and the request does not open detectors, or what it is
            measured from is not there.
    """
    check_alike(request.rows)
    for one in (one for row in request.rows for one in row if request.open):
        if one.lacking and not request.entry(one).path.is_file():
            raise StoreError(one.lacking)
    images = _images(request)
    rows = [
        Measured(
            row[0].label,
            tuple(one.cell.seed for one in row),
            tuple(_table(request, one, images, report) for one in row),
            row[0].cell.detector,
        )
        for row in request.rows
    ]
    cell = request.rows[0][0].cell
    truth = truth_columns(request.truths.of(cell.data), cell.evaluation.limit)
    found = groups.of(request.rows[0][0], request.store, request.truths)
    seen = np.array(images, np.int64)
    said = note(request, images)
    pixels = Pictures(request).of
    return Analysis(tuple(rows), seen, found, truth.names, request.settings, said, pixels)


class Pictures:
    """The images that are analysed, read when they are asked for."""

    def __init__(self, request: Request) -> None:
        self._data, self._root = request.rows[0][0].cell.data, request.truths.root
        self._opened: tuple[Any, dict[int, int]] | None = None

    def of(self, image: int) -> NDArray[np.uint8] | None:
        """(H, W, 3), RGB; none where it is not here."""
        from detbench import data

        if self._root is None:
            return None
        try:
            if self._opened is None:
                opened = data.load(self._data, "val", self._root)
                ids = image_ids(opened.truth())
                self._opened = opened, {one: place for place, one in enumerate(ids)}
            opened, places = self._opened
            pixels = opened.sample(places[image]).image.permute(1, 2, 0).numpy()
        except DataError:
            return None
        return np.ascontiguousarray(pixels)


def named_apart(rows: Sequence[tuple[Subject, ...]]) -> list[tuple[Subject, ...]]:
    """The rows, those of one label called by their full names."""
    labels = [row[0].label for row in rows]

    def called(row: tuple[Subject, ...]) -> str:
        first = row[0]
        return first.label if labels.count(first.label) == 1 else first.where

    return [tuple(replace(one, label=called(row)) for one in row) for row in rows]


def check_alike(rows: Sequence[Sequence[Subject]]) -> None:
    """Refuse rows that were not evaluated on the same images.

    Raises:
        RecipeError: they were not.
    """
    first = rows[0][0].cell
    for row in rows[1:]:
        cell = row[0].cell
        if (digest(cell.data), cell.evaluation) != (digest(first.data), first.evaluation):
            raise RecipeError(
                f"{rows[0][0].where} and {row[0].where} are not evaluated on the same data: rows "
                "side by side take the same --profile and --dataset"
            )


def note(request: Request, images: Sequence[int]) -> str:
    """What was measured on what, in words."""
    cell = request.rows[0][0].cell
    seeds = sorted({one.cell.seed for row in request.rows for one in row})
    words = []
    if request.looked.count != 0:
        drawn = "" if request.looked.count is None else f" (drawn by seed {request.looked.seed})"
        words.append(f"{len(images)} images{drawn} of {cell.data.label(cell.evaluation.limit)}")
    named = ", ".join(map(str, seeds))
    words.append(f"mean of seeds {named}" if len(seeds) > 1 else f"seed {named}")
    if request.settings:
        words.append(", ".join(f"{name} {value:g}" for name, value in request.settings.items()))
    return "; ".join(words) + "."


def _images(request: Request) -> list[int]:
    if request.looked.count == 0:
        return [0]
    cell = request.rows[0][0].cell
    ids = image_ids(request.truths.of(cell.data))[: cell.evaluation.limit]
    return request.looked.of(ids)


def _table(request: Request, subject: Subject, images: Sequence[int], report: Report) -> Columns:
    """A training's table, measured if it is not there."""
    entry = request.entry(subject)
    found = entry.read()
    if found is not None:
        return found
    if request.open is None:
        raise StoreError(f"{subject.where}: no {request.kind.name} is stored")
    if subject.lacking:
        raise StoreError(subject.lacking)
    lock = Lock(entry.path.with_suffix(".lock"))
    if not lock.acquire():
        raise RecipeError(
            f"{subject.where}: another process measures this: wait for it, then run this again"
        )
    try:
        return _measured(request, subject, images, report)
    finally:
        lock.path.unlink(missing_ok=True)
        lock.release()


def _measured(request: Request, subject: Subject, images: Sequence[int], report: Report) -> Columns:
    entry, kind = request.entry(subject), request.kind
    first = done = entry.done(len(images))
    began = last = time.monotonic()
    held: list[Columns] = []
    for asked in _asked(request, subject, images, first):
        held.append(kind.measure(asked))
        at = first + (done - first) + len(held)
        now = time.monotonic()
        if now - last >= EVERY_S or at == len(images):
            entry.keep(done, at, files.joined(held))
            done, held, last = at, [], now
        report(Progress("images", at, len(images), seconds=now - began, start=first))
    said = {
        "label": subject.label,
        "where": subject.where,
        "seed": subject.cell.seed,
        "data": subject.cell.data.label(subject.cell.evaluation.limit),
        "n_images": len(images),
        "recipe": subject.cell.model_dump(mode="json"),
    }
    return entry.finish(len(images), said)


def _asked(
    request: Request, subject: Subject, images: Sequence[int], first: int
) -> Iterator[Asked]:
    """What is to be measured of each image, one after another, from the ``first`` on."""
    opened, points, by_image, needs = None, [], {}, request.kind.needs
    if first == len(images):
        return
    kept = needs == "detections" or (needs == "boxes" and has_boxes(subject, request.store))
    if needs == "weights" or (needs == "boxes" and not kept):
        opened = request.open(subject) if request.open else None
    if needs == "curve" and subject.work is not None:
        points = list(curve.read(subject.work / "curve.jsonl"))
    if kept:
        by_image = by_images(request.store.detections_of(subject.digest, subject.where))
    cell, truth = subject.cell, None
    if needs in ("detections", "boxes"):
        truth = truth_columns(request.truths.of(cell.data), cell.evaluation.limit)
    for place, image in enumerate(images[first:], first):
        found = by_image.get(image, [])
        yield Asked(
            *(subject, image, request.settings, opened, points, found, place, truth),
            *(request.store, request.truths),
        )


def has_boxes(subject: Subject, store: Store) -> bool:
    """Whether a training's detections are stored."""
    return not subject.content and store.has_detections(subject.digest)


def by_images(results: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """COCO results by their images."""
    found: dict[int, list[dict[str, Any]]] = {}
    for one in results:
        found.setdefault(one["image_id"], []).append(one)
    return found
