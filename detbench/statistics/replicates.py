"""The metrics of one training on all images and in each bootstrap replicate.

A replicate draws as many images as there are, with replacement, the same for every training that is
scored on them, and re-weights the matches. Clusters of images (videos, scenes) are drawn whole. So
what is kept of each training serves any difference, table or contrast of them.

No torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detbench.errors import DataError, RecipeError
from detbench.evaluation import accumulate, voc_replicates
from detbench.evaluation.detections import GroundTruth, truth_columns
from detbench.evaluation.matching import match
from detbench.evaluation.metric import Mean, by_kind, parse
from detbench.recipe.experiment import Evaluation
from detbench.statistics.estimate import Part
from detbench.statistics.small import FEW, FEWEST

if TYPE_CHECKING:
    from detbench.evaluation.matching import Matches

Floats = NDArray[np.float64]
REPLICATES = 1000
OTHERS = voc_replicates.METRICS
"""Metrics that can be resampled and are no means of COCO's arrays."""


@dataclass(frozen=True)
class Resampling:
    """How images are drawn.

    Attributes:
        replicates: at least 200.
        seed: of the draws; what is compared is drawn alike.
        clusters: image id -> the cluster it belongs to, which is drawn whole; none is each image.
    """

    replicates: int = REPLICATES
    seed: int = 0
    clusters: dict[int, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.replicates < FEWEST:
            raise RecipeError(
                f"{self.replicates} replicates are too few for a 95 % interval: take at least "
                f"{FEWEST}"
            )


RESAMPLING = Resampling()
DRAWN_AT_ONCE = 20_000
"""Numbers; their order is that of one replicate after the other, however many at once."""


@dataclass(frozen=True)
class Replicates:
    """The metrics of one training.

    Attributes:
        values: metric -> on all images, a fraction; not a number where undefined.
        draws: metric -> (R,); not a number where a replicate has no object that counts.
        images: metric -> how many images, or clusters, hold an object that counts.
        rare: metric -> of how many classes it is the mean, and how many of those lie in fewer
            than ``small.FEW`` images.
        scene: says what was scored and how; two can be compared where theirs are equal.
    """

    values: dict[str, float]
    draws: dict[str, Floats] = field(repr=False)
    images: dict[str, int]
    rare: dict[str, tuple[int, int]]
    scene: tuple[Any, ...]

    def __post_init__(self) -> None:
        # In single precision, as they are computed and kept.
        kept = {
            name: np.asarray(one, np.float32).astype(np.float64) for name, one in self.draws.items()
        }
        object.__setattr__(self, "draws", kept)


def of_matches(
    matches: Matches, metrics: Sequence[str], resampling: Resampling = RESAMPLING
) -> Replicates:
    """COCO's metrics of one training.

    Args:
        metrics: names as in ``metric.parse``: ``AP``, ``APs``, ``AP50[person]``.

    Raises:
        RecipeError: an unknown metric or class.
        DataError: an image has no cluster.
    """
    wanted = [parse(name, matches.names) for name in metrics]
    groups = groups_of(matches.image_ids, resampling.clusters)
    weights = draw(len(matches.image_ids), resampling.replicates, resampling.seed, groups)
    plain = accumulate.values(matches, metrics)
    values = {name: np.nan if plain[name] is None else float(plain[name] or 0) for name in metrics}
    draws = accumulate.replicate(matches, weights, wanted)
    held = [_held(matches, one, groups) for one in wanted]
    return Replicates(
        values,
        dict(zip(metrics, draws, strict=True)),
        {
            name: len(np.unique(np.concatenate(one)))
            for name, one in zip(metrics, held, strict=True)
        },
        {name: _rare(one) for name, one in zip(metrics, held, strict=True)},
        _scene(matches, resampling),
    )


def of_results(
    ground_truth: GroundTruth,
    results: Any,
    evaluation: Evaluation,
    metrics: Sequence[str],
    resampling: Resampling = RESAMPLING,
    name: str = "results",
) -> Replicates:
    """Any metrics that can be resampled, of COCO results: COCO's, of boxes and of masks, ``VOC07``
    and ``VOC``.

    Args:
        ground_truth: COCO instances.
        results: COCO results; may be empty.
        name: of the results, for messages.

    Raises:
        DataError: a result is malformed or names an unknown image or category.
        RecipeError: an unknown metric or class.
    """
    kinds = by_kind([one for one in metrics if one not in OTHERS]) or [(False, [])]
    found, *more = (
        of_matches(match(ground_truth, results, evaluation, name, masks), some, resampling)
        for masks, some in kinds
    )
    for one in more:
        found = _joined(found, one)
    others = [one for one in metrics if one in OTHERS]
    if not others:
        return found
    truth = truth_columns(ground_truth, evaluation.limit)
    groups = groups_of(truth.image_ids, resampling.clusters)
    weights = draw(len(truth.image_ids), resampling.replicates, resampling.seed, groups)
    judged = voc_replicates.judge(truth, results)
    values, draws = voc_replicates.values(judged), voc_replicates.replicate(judged, weights)
    held = [groups[one.owners] for one in judged if len(one.owners)]
    count = len(np.unique(np.concatenate(held))) if held else 0
    more_of_them = Replicates(
        {one: values[one] for one in others},
        {one: draws[one] for one in others},
        dict.fromkeys(others, count),
        dict.fromkeys(others, _rare(held)),
        found.scene,
    )
    return _joined(found, more_of_them)


def _joined(one: Replicates, other: Replicates) -> Replicates:
    """The metrics of both; of the first is what was scored."""
    return Replicates(
        one.values | other.values,
        one.draws | other.draws,
        one.images | other.images,
        one.rare | other.rare,
        one.scene,
    )


def part(side: Sequence[Replicates], metric: str) -> Part | None:
    """One metric of a side's seeds; none where it is not defined."""
    values = np.array([one.values[metric] for one in side], np.float64)
    if np.isnan(values).any():
        return None
    return Part(values, np.stack([one.draws[metric] for one in side]))


def draw(
    images: int, replicates: int, seed: int, groups: NDArray[np.int64] | None = None
) -> NDArray[np.uint16]:
    """How often each image counts in each replicate, (images, replicates).

    The same seed gives the same draws, whatever else changes.

    Args:
        groups: (images,), the cluster of each, from 0; none is one each.
    """
    rng = np.random.default_rng(seed)
    count = images if groups is None else int(groups.max(initial=-1)) + 1
    counts = np.empty((count, replicates), np.uint16)
    together = max(1, DRAWN_AT_ONCE // max(count, 1))
    for first in range(0, replicates, together):
        columns = min(together, replicates - first)
        chosen = rng.integers(0, count, (columns, count))
        chosen += count * np.arange(columns)[:, None]
        drawn = np.bincount(chosen.ravel(), minlength=columns * count)
        counts[:, first : first + columns] = drawn.reshape(columns, count).T
    return counts if groups is None else counts[groups]


def groups_of(image_ids: NDArray[np.int64], clusters: dict[int, Any] | None) -> NDArray[np.int64]:
    """The cluster of each image, numbered from 0 as they first appear, (images,).

    Raises:
        DataError: an image has none.
    """
    if clusters is None:
        return np.arange(len(image_ids))
    lacking = [one for one in image_ids.tolist() if one not in clusters]
    if lacking:
        raise DataError(f"image {lacking[0]} is in no cluster ({len(lacking)} are in none)")
    numbers: dict[Any, int] = {}
    found = [numbers.setdefault(clusters[one], len(numbers)) for one in image_ids.tolist()]
    return np.array(found, np.int64)


def check_same(first: Replicates, others: Sequence[Replicates]) -> None:
    """Refuse to combine what was not scored alike.

    Raises:
        DataError: other images, classes, objects, settings or draws.
    """
    for other in others:
        for ours, theirs, said in zip(first.scene, other.scene, SAID, strict=True):
            if ours != theirs:
                raise DataError(said.format(_shown(ours), _shown(theirs)))


SAID = (
    "they were evaluated on different images ({} and {}): a difference takes the same ones",
    "they were evaluated with different classes: a difference takes the same",
    "they were evaluated on different objects: a difference takes the same",
    "they were evaluated with different settings (max_detections, area_scale {} and {}): a "
    "difference takes the same",
    "they were resampled otherwise: a difference takes the same draws",
)


def _shown(part: Any) -> Any:
    return tuple(part) if isinstance(part, list) else str(part).partition(" ")[0]


def _scene(matches: Matches, resampling: Resampling) -> tuple[Any, ...]:
    """Number and hash of the images, of classes, of objects; settings; how it was resampled."""

    def named(count: int, *parts: Any) -> str:
        kept = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
        return f"{count} {kept[:16]}"

    names = np.frombuffer("\0".join(matches.names).encode(), np.uint8)
    groups = groups_of(matches.image_ids, resampling.clusters)
    return (
        named(len(matches.image_ids), matches.image_ids),
        named(len(matches.names), matches.category_ids, names),
        named(len(matches.object_images), matches.object_starts, matches.object_images),
        [matches.evaluation.max_detections, matches.evaluation.area_scale],
        named(resampling.replicates, np.array([resampling.seed]), groups),
    )


def _held(matches: Matches, wanted: Mean, groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """For each class that a metric is the mean of, the images that hold one that counts."""
    counts = ~matches.object_ignored[wanted.area]
    found = [np.zeros(0, np.int64)]
    for label in accumulate.labels_of(matches, wanted):
        rows = matches.objects(label)
        owners = np.unique(groups[matches.object_images[rows][counts[rows]]])
        found += [owners] if len(owners) else []
    return found


def _rare(held: Sequence[NDArray[np.int64]]) -> tuple[int, int]:
    counts = [len(np.unique(one)) for one in held if len(one)]
    return len(counts), sum(count < FEW for count in counts)
