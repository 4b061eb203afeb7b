"""Synthetic detectors whose true average precision is known, for tests of intervals.

A scene is objects of three classes and sizes, each with a difficulty that all detectors share. A
detector misses, misplaces and scores by that difficulty and by its own noise, and adds false ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

CLASSES = 3
SIDE = 512.0


@dataclass(frozen=True)
class Made:
    """A detector's habits.

    Attributes:
        finds: share of the objects that it finds.
        misplaces: spread of its boxes, as a share of their sides.
        confuses: share of its boxes with a wrong class.
        invents: mean number of false boxes per image.
    """

    finds: float = 0.8
    misplaces: float = 0.08
    confuses: float = 0.1
    invents: float = 4.0


def scenes(rng: np.random.Generator, images: int) -> tuple[dict[str, Any], np.ndarray]:
    """COCO instances, and the difficulty of each object, uniform in [0, 1]."""
    owner = np.repeat(np.arange(images), rng.poisson(4, images))
    count = len(owner)
    sides = np.exp(rng.uniform(np.log(16), np.log(200), (count, 1))) * rng.uniform(
        0.7, 1.4, (count, 2)
    )
    boxes = np.concatenate([rng.uniform(0, SIDE - 200, (count, 2)), sides], axis=1)
    labels = rng.choice(CLASSES, count, p=[0.6, 0.3, 0.1])
    annotations = [
        {"id": i, "image_id": image, "category_id": label, "bbox": box, "iscrowd": 0}
        for i, (image, label, box) in enumerate(
            zip(owner.tolist(), labels.tolist(), boxes.tolist(), strict=True)
        )
    ]
    return {
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(CLASSES)],
        "annotations": annotations,
    }, rng.random(count)


def detect(
    rng: np.random.Generator, truth: dict[str, Any], hard: np.ndarray, made: Made
) -> list[dict[str, Any]]:
    """COCO results of one detector on these scenes."""
    items = truth["annotations"]
    owner = np.array([item["image_id"] for item in items], np.int64)
    boxes = np.array([item["bbox"] for item in items]).reshape(-1, 4)
    labels = np.array([item["category_id"] for item in items], np.int64)
    count, images = len(items), len(truth["images"])
    found = hard + rng.normal(0, 0.2, count) < made.finds
    spread = made.misplaces * (0.4 + 1.2 * hard[:, None]) * boxes[:, [2, 3, 2, 3]]
    moved = boxes + rng.normal(0, 1, (count, 4)) * spread
    wrong = rng.random(count) < made.confuses
    named = np.where(wrong, rng.integers(0, CLASSES, count), labels)
    sure = 1 / (1 + np.exp(2.5 * hard + rng.normal(0, 0.7, count) - 2 + wrong))
    false = np.repeat(np.arange(images), rng.poisson(made.invents, images))
    more = len(false)
    boxes = np.concatenate(
        [
            moved[found],
            np.concatenate(
                [rng.uniform(0, SIDE - 200, (more, 2)), rng.uniform(16, 200, (more, 2))], axis=1
            ),
        ]
    )
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1.0)
    columns = (
        np.concatenate([owner[found], false]),
        np.concatenate([named[found], rng.integers(0, CLASSES, more)]),
        boxes,
        np.concatenate([sure[found], 1 / (1 + np.exp(rng.normal(1.5, 0.8, more)))]),
    )
    return [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, label, box, score in zip(*(c.tolist() for c in columns), strict=True)
    ]


PAIRS: tuple[tuple[Made, Made, float], ...] = (
    (Made(), Made(), 0.0),
    (Made(), Made(misplaces=0.07), 0.0355),
    (Made(), Made(finds=0.85), 0.0107),
    (Made(finds=0.6, invents=10), Made(finds=0.6, invents=10), 0.0),
    (Made(finds=0.6, invents=10), Made(finds=0.62, invents=10, confuses=0.15), -0.0100),
    (Made(), Made(confuses=0.05, invents=6), 0.0170),
    (Made(misplaces=0.15), Made(misplaces=0.1), 0.1221),
    (Made(finds=0.95, misplaces=0.05), Made(finds=0.95, misplaces=0.05), 0.0),
)
"""Two detectors and the AP of the second less that of the first: nothing where both have the same
habits, else as ``truth`` finds it on 200,000 images, to 0.0006."""


def truth(a: Made, b: Made, images: int, draws: int, seed: int = 0) -> tuple[float, float]:
    """The difference in AP in a population, and its standard error.

    Args:
        images: of each of ``draws`` independent populations.
    """
    from detbench.evaluation.coco import evaluate
    from detbench.recipe.experiment import Evaluation

    found = []
    for number in range(draws):
        rng = np.random.default_rng((seed, number))
        ground, hard = scenes(rng, images)
        first, second = (
            evaluate(ground, detect(rng, ground, hard, made), Evaluation())["AP"] for made in (a, b)
        )
        found.append((second or 0.0) - (first or 0.0))
    return float(np.mean(found)), float(np.std(found, ddof=1) / draws**0.5)
