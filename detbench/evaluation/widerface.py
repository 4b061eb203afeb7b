"""WIDER FACE's own average precision, as its evaluation tools compute it (Yang et al. 2016).

Scores are brought to [0, 1] over the whole set. An image's detections are taken in order of score.
Each is held against the face that it overlaps most, of all that are annotated: from the threshold
on, it finds that face, or is not counted at all where the face does not count in the setting. Any
other, a second one of a found face too, is wrong. Precision and recall are those of the detections
from each of 1000 scores on, and AP is the area as in Pascal VOC since 2010. Detections on an image
without any face are not counted, though their scores are among those that are brought to [0, 1].

Where the tools divide nothing by nothing: precision is 0 while no detection counts, as MATLAB's
``max`` passes over it; and where all scores are equal, all are 1.

No torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation.detections import (
    Floats,
    GroundTruth,
    Ints,
    found_columns,
    truth_columns,
)
from detbench.evaluation.voc import area, best

IOU = 0.5
THRESHOLDS = 1 - np.arange(1, 1001) / 1000
METRICS = ("wider-easy", "wider-medium", "wider-hard")
"""Of the block ``own score`` of ``recipe.metrics``, in the order of the bits of a mark."""
SENTENCE = (
    f"Easy, Medium and Hard are WIDER FACE's own AP of the objects of each setting: IoU {IOU:g}, "
    f"widths with the last pixel (+1), all others ignored, {len(THRESHOLDS)} thresholds on scores "
    f"brought to [0, 1] over the set, any number of detections."
)


def rules(metric: str) -> dict[str, Any]:
    """What the protocol of a metric on this data says, COCO's metrics included."""
    if metric not in METRICS:
        return {"invalid": "as COCO's crowds"}
    return {
        "evaluator": "detbench, by the rules of WIDER FACE's evaluation tools",
        "average": "area",
        "iou": IOU,
        "pixels": "inclusive (+1)",
        "others": "ignored",
        "thresholds": len(THRESHOLDS),
    }


def evaluate(
    ground_truth: GroundTruth, results: list[dict[str, Any]], limit: int | None = None
) -> dict[str, float | None]:
    """AP in each setting, in [0, 1]; none where no face counts in it.

    Args:
        ground_truth: COCO instances whose ``marks`` say in which settings a face counts.
        results: COCO results, already checked; of equal scores the first comes first. There is no
            bound on their number per image.
        limit: only the first this many images; none is all.
    """
    truth = truth_columns(ground_truth, limit)
    if truth.marks is None:
        return dict.fromkeys(METRICS)
    found = found_columns(results, truth)
    order = np.argsort(-found.scores, kind="stable")
    faces, overlap = best(truth, np.arange(len(truth.images)), found, order, 1.0)
    held = faces >= 0
    scores = _spread(found.scores)[order]
    reached = np.searchsorted(-scores[held], -THRESHOLDS, side="right")
    aps = {}
    for bit, metric in enumerate(METRICS):
        counted = truth.marks >> bit & 1 == 1
        curves = _curves(faces[held], overlap[held] >= IOU, counted, reached)
        objects = int(np.count_nonzero(counted))
        aps[metric] = area(*curves, objects) if objects else None
    return aps


def _spread(scores: Floats) -> Floats:
    """Scores brought to [0, 1], (D,); all 1 where they are equal, D may be 0."""
    if not len(scores) or scores.min() == scores.max():
        return np.ones_like(scores)
    return (scores - scores.min()) / (scores.max() - scores.min())


def _curves(
    faces: Ints, hit: NDArray[np.bool_], counted: NDArray[np.bool_], reached: Ints
) -> tuple[Ints, Floats]:
    """Faces found, and precision, at each threshold, (1000,) each.

    Args:
        faces: that each detection overlaps most, best first, (D,).
        hit: whether by enough, (D,).
        counted: whether a face counts in the setting, (G,).
        reached: detections from each threshold on.
    """
    ours = hit & counted[faces]
    right = np.zeros(len(faces), np.int64)
    rows = np.flatnonzero(ours)
    right[rows[np.unique(faces[rows], return_index=True)[1]]] = 1
    hits, proposals = (
        np.concatenate(([0], np.cumsum(flags)))[reached] for flags in (right, ~hit | ours)
    )
    return hits, hits / np.maximum(proposals, 1)
