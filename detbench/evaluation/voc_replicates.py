"""Pascal VOC's own average precision of images that are re-weighted, as in a bootstrap replicate.

Precision's ceiling changes at right detections only, so everything after a running sum works on
those alone, as in ``accumulate``. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation import voc
from detbench.evaluation.accumulate import running, up_to
from detbench.evaluation.detections import Flags, Ints, Truth, found_columns
from detbench.evaluation.voc import METRICS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """One class.

    Attributes:
        images: (D,), of its detections, best first.
        right, counted: (D,), found a new object; is right or wrong.
        owners: (G,), images of the objects that are to be found.
    """

    images: Ints
    right: Flags
    counted: Flags
    owners: Ints


def judge(truth: Truth, results: list[dict[str, Any]]) -> list[Judged]:
    """Every class, by id, under the rules of ``voc.by_class``.

    Args:
        results: COCO results, already checked.
    """
    found = found_columns(results, truth)
    judged = []
    for label in range(len(truth.category_ids)):
        objects = np.flatnonzero(truth.labels == label)
        rows = np.flatnonzero(found.labels == label)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")]
        hard = truth.crowd[objects]
        owners = truth.images[objects][~hard]
        if not len(owners):
            judged.append(Judged(*(np.zeros(0, kind) for kind in (int, bool, bool, int))))
            continue
        right, wrong = voc.judge(*voc.best(truth, objects, found, rows, 1.0), hard, voc.IOU)
        judged.append(Judged(found.images[rows], right, right | wrong, owners))
    return judged


def values(judged: Sequence[Judged]) -> dict[str, float]:
    """``VOC07`` and ``VOC`` on all images, as ``voc.evaluate`` has them; else not a number."""
    scores = []
    for one in judged:
        if len(one.owners):
            hits, seen = (np.cumsum(flags, dtype=np.int64) for flags in (one.right, one.counted))
            curves = (hits, hits / np.maximum(seen, 1), len(one.owners))
            scores.append((voc.eleven_points(*curves), voc.area(*curves)))
    means = np.mean(scores, axis=0) if scores else np.full(2, np.nan)
    return dict(zip(METRICS, means.tolist(), strict=True))


def replicate(judged: Sequence[Judged], weights: NDArray[np.integer]) -> dict[str, Floats]:
    """The same of re-weighted images, (R,) each; not a number without any object.

    Args:
        weights: (I, R), how often each image counts.
    """
    copies = weights.astype(np.float64)
    total, classes = np.zeros((2, weights.shape[1])), np.zeros(weights.shape[1])
    for one in judged:
        if not len(one.owners):
            continue
        objects = copies[one.owners].sum(axis=0)
        total += np.where(objects > 0, _class(one, copies, objects), 0.0)
        classes += objects > 0
    means = np.divide(total, classes, out=np.full_like(total, np.nan), where=classes > 0)
    return dict(zip(METRICS, means, strict=True))


def _class(one: Judged, copies: Floats, objects: Floats) -> Floats:
    """Eleven points and area of one class, (2, R)."""
    events = np.flatnonzero(one.right)
    found = np.zeros((2, copies.shape[1]))
    if not len(events):
        return found
    own = copies[one.images[events]]
    hits = running(own.copy())
    seen = up_to(one.images, one.counted, events, copies)
    ceiling = hits / np.maximum(seen, 1)
    ceiling = np.maximum.accumulate(ceiling[::-1])[::-1]
    for level in range(11):
        reached = 10 * hits >= level * objects
        first = ceiling[reached.argmax(axis=0), np.arange(len(objects))]
        found[0] += np.where(reached.any(axis=0), first, 0.0) / 11
    found[1] = (own * ceiling).sum(axis=0) / np.maximum(objects, 1)
    return found
