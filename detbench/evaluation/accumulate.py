"""Average precision and recall of matches, of all images once or of images re-weighted.

Once: pycocotools' ``accumulate`` to the last bit. Re-weighted: image i counts n_i times, as in a
bootstrap replicate, where copies of an image follow one another in the order of equal scores.

Precision's ceiling and the recall levels only change at right detections, of which there are at
most as many as objects, so everything after a sum over the detections between two right ones works
on those alone. That is what makes a replicate cheap.

No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation.detections import Flags, Ints
from detbench.evaluation.metric import AREAS, MASK_METRICS, METRICS, THRESHOLDS, Mean, parse

if TYPE_CHECKING:
    from detbench.evaluation.matching import Matches

Array = NDArray[np.floating]
LEVELS = np.linspace(0.0, 1.0, 101)
EPSILON = np.spacing(1)
# COCO's level 0.35 is a little more than 35/100 in floating point, so that a recall of 7/20 does
# not reach it; these are the levels with that fault.
LATE = np.arange(101) / 100 < LEVELS
SINGLE = 100_000  # objects of a class up to which float32 holds counts and levels exactly
REPLICATES_AT_ONCE = 1024
HELD_AT_ONCE = 2**25  # numbers per array: 128 MiB


def metrics(
    matches: Matches, weights: NDArray[np.integer] | None = None
) -> dict[str, float | None]:
    """All of ``METRICS``; of matched masks all of ``MASK_METRICS``.

    Args:
        weights: how often each image counts, (I,); none is once each, exactly as pycocotools.

    Returns:
        Values in [0, 1]; none where no object has that size.
    """
    names = MASK_METRICS if matches.masks else METRICS
    if weights is None:
        return summary(*arrays(matches), names)
    wanted = [parse(name) for name in names]
    found = replicate(matches, np.asarray(weights)[:, None], wanted, np.float64)[:, 0]
    values = (None if np.isnan(value) else float(value) for value in found)
    return dict(zip(names, values, strict=True))


def values(matches: Matches, names: Sequence[str]) -> dict[str, float | None]:
    """Metrics by name, classes in brackets too, exactly as pycocotools."""
    precision, recall = arrays(matches)
    found = {}
    for name in names:
        wanted = parse(name, matches.names)
        labels = labels_of(matches, wanted)
        held = recall if wanted.recall else precision
        found[name] = _mean(held[..., wanted.area][..., labels][list(wanted.thresholds)])
    return found


def by_class(matches: Matches) -> list[dict[str, float | None]]:
    """``metrics`` of each class alone, in the order of ``matches.names``; their means over the
    classes that have objects are those of ``metrics``.
    """
    precision, recall = arrays(matches)
    names = MASK_METRICS if matches.masks else METRICS
    return [
        summary(precision[:, :, [label]], recall[:, [label]], names)
        for label in range(len(matches.names))
    ]


def summary(
    precision: Array, recall: Array, names: Sequence[str] | None = None
) -> dict[str, float | None]:
    """COCO's means of its arrays of precision (T, R, K, A) and recall (T, K, A).

    Args:
        names: of the metrics; none is all of boxes.
    """
    found: dict[str, float | None] = {}
    for name in METRICS if names is None else names:
        wanted = parse(name)
        held = recall if wanted.recall else precision
        found[name] = _mean(held[..., wanted.area][list(wanted.thresholds)])
    return found


def _mean(found: Array) -> float | None:
    defined = found[found > -1]
    return float(np.mean(defined)) if len(defined) else None


def arrays(matches: Matches) -> tuple[Array, Array]:
    """Precision (T, 101, K, A) and recall (T, K, A) as pycocotools has them; -1 where undefined."""
    thresholds, classes = len(THRESHOLDS), len(matches.names)
    precision = -np.ones((thresholds, len(LEVELS), classes, len(AREAS)))
    recall = -np.ones((thresholds, classes, len(AREAS)))
    for label in range(classes):
        rows = matches.detections(label)
        for area in range(len(AREAS)):
            objects = np.count_nonzero(~matches.object_ignored[area, matches.objects(label)])
            if not objects:
                continue
            right, ignored = matches.right[area, :, rows], matches.ignored[area, :, rows]
            counted = np.cumsum(~ignored, axis=1)
            for index in range(thresholds):
                curve, found = _curve(right[index], counted[index], int(objects))
                precision[index, :, label, area] = curve
                recall[index, label, area] = found
    return precision, recall


def _curve(right: Flags, counted: Ints, objects: int) -> tuple[Array, float]:
    """Precision at the recall levels, (101,), and the final recall, in pycocotools' arithmetic.

    Args:
        right: (D,), best detection first.
        counted: (D,), how many of the first count.
    """
    curve = np.zeros(len(LEVELS))
    places = np.flatnonzero(right)
    if not len(places):
        return curve, 0.0
    hits = np.arange(1, len(places) + 1, dtype=np.float64)
    precision = hits / (counted[places] + EPSILON)
    ceiling = np.maximum.accumulate(precision[::-1])[::-1]
    recall = hits / objects
    at = np.searchsorted(recall, LEVELS, "left")
    reached = at < len(places)
    curve[reached] = ceiling[at[reached]]
    return curve, float(recall[-1])


def replicate(
    matches: Matches,
    weights: NDArray[np.integer],
    wanted: Sequence[Mean],
    precise: type[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Metrics of re-weighted images.

    Args:
        weights: (I, R), how often each image counts in each of R replicates.
        precise: type of the arithmetic; by default float32, in which counts are exact and
            precisions are to 1e-7, unless a class has too many objects for it.

    Returns:
        (metrics, R); not a number where the replicate has no object that counts.
    """
    most = int(np.diff(matches.object_starts).max(initial=0))
    kind = precise or (np.float32 if 2 * most <= SINGLE else np.float64)
    step = max(1, min(REPLICATES_AT_ONCE, HELD_AT_ONCE // max(1, most, len(weights))))
    pieces = [
        _replicate(matches, np.ascontiguousarray(weights[:, start : start + step], kind), wanted)
        for start in range(0, weights.shape[1], step)
    ]
    return np.concatenate(pieces, axis=1)


def _replicate(matches: Matches, copies: Array, wanted: Sequence[Mean]) -> NDArray[np.float64]:
    total = np.zeros((len(wanted), copies.shape[1]))
    classes = np.zeros_like(total)
    for label in range(len(matches.names)):
        chosen = [(i, one) for i, one in enumerate(wanted) if label in labels_of(matches, one)]
        for area in {one.area for _, one in chosen}:
            here = [(i, one) for i, one in chosen if one.area == area]
            asked = sorted({index for _, one in here for index in one.thresholds})
            scored = _class(matches, label, area, asked, copies)
            if scored is None:
                continue
            for i, one in here:
                rows = [asked.index(index) for index in one.thresholds]
                held = scored.recall if one.recall else scored.precision
                total[i] += np.where(scored.defined, held[rows].mean(axis=0), 0.0)
                classes[i] += scored.defined
    return np.divide(total, classes, out=np.full_like(total, np.nan), where=classes > 0)


def labels_of(matches: Matches, wanted: Mean) -> range | list[int]:
    """The classes that a metric is the mean of."""
    if wanted.category is None:
        return range(len(matches.names))
    return [matches.names.index(wanted.category)]


@dataclass(frozen=True)
class _Scored:
    """One class and area: precision and recall (thresholds, R), and where any object is (R,)."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    defined: Flags


def _class(
    matches: Matches, label: int, area: int, asked: Sequence[int], copies: Array
) -> _Scored | None:
    """Precision and recall of one class in all replicates; none where it has no object.

    Args:
        asked: thresholds.
        copies: (I, R), how often each image counts.
    """
    rows, held = matches.detections(label), matches.objects(label)
    owners = matches.object_images[held][~matches.object_ignored[area, held]]
    if not len(owners):
        return None
    objects = copies[owners].sum(axis=0)
    images = matches.images[rows]
    right = matches.right[area, asked, rows]
    ignored = matches.ignored[area, asked, rows]
    counted: Flags = np.logical_not(ignored.all(axis=0))
    events = np.flatnonzero(right.any(axis=0))
    held_by = up_to(images, counted, events, copies)
    own = copies[images[events]]
    precision = np.zeros((len(asked), copies.shape[1]))
    recall = np.zeros_like(precision)
    for index in range(len(asked)):
        chosen = right[index, events]
        if not chosen.any():
            continue
        hits = running(own[chosen])
        seen = held_by[chosen]
        passed = np.logical_and(ignored[index], counted)
        if passed.any():
            seen = seen - up_to(images, passed, events[chosen], copies)
        precision[index] = _average(hits, seen, objects)
        recall[index] = hits[-1] / np.maximum(objects, 1)
    return _Scored(precision, recall, objects > 0)


def up_to(images: Ints, counted: Flags, events: Ints, copies: Array) -> Array:
    """How many counted detections there are up to and with each event, (events, R)."""
    from scipy.sparse import csr_array

    rows = np.flatnonzero(counted)
    ends = np.searchsorted(rows, events, "right")
    rows = rows[: ends[-1]] if len(ends) else rows[:0]
    pointers = np.concatenate(([0], ends))
    ones = np.ones(len(rows), copies.dtype)
    between = csr_array((ones, images[rows], pointers), shape=(len(events), len(copies)))
    return running(between @ copies)


def running(rows: Array) -> Array:
    """Running sums down the rows, (n, R), in place.

    Row by row, as numpy's own goes column by column and is five times slower.
    """
    for above, row in pairwise(rows):
        np.add(above, row, out=row)
    return rows


def _average(hits: Array, seen: Array, objects: Array) -> Array:
    """Mean precision over the 101 recall levels, (R,).

    Args:
        hits, seen: (n, R), right and counted ones among the detections up to each right one.
        objects: (R,).
    """
    ceiling = hits / np.maximum(seen, 1)
    for below, row in zip(ceiling[:0:-1], ceiling[-2::-1], strict=True):
        np.maximum(below, row, out=row)
    levels = _levels(hits, objects)
    levels[1:] -= levels[:-1].copy()
    average: Array = np.einsum("nr,nr->r", ceiling, levels) / len(LEVELS)
    return average


def _levels(hits: Array, objects: Array) -> Array:
    """How many recall levels are reached with ``hits`` of ``objects``, (n, R)."""
    hundredths = hits * 100
    hundredths /= np.maximum(objects, 1)
    levels = np.floor(hundredths)
    late = LATE[levels.astype(np.intp)]
    late &= levels == hundredths
    levels += 1
    levels -= late
    return levels
