"""A second p for two trainings: approximate randomisation (Noreen 1989).

If two detectors are equal, then on any image either could have given what the other gave. So they
swap their detections image by image, by the toss of a coin, and how often the difference is then as
large is p. It assumes nothing of a distribution, but tests two trainings, as one seed does.

Both detectors' matches are merged once, the second's on copies of the images: a swap is weights w
and 1 - w, under which each image counts once. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation import accumulate
from detbench.evaluation.detections import order_by
from detbench.evaluation.metric import parse
from detbench.statistics import replicates as resampled
from detbench.statistics.replicates import groups_of

if TYPE_CHECKING:
    from detbench.evaluation.matching import Matches

SWAPS = 1000
BORDER = 0.05
"""Two p disagree where this lies between them."""


def swapped(
    a: Matches,
    b: Matches,
    metrics: Sequence[str] = ("AP",),
    swaps: int = SWAPS,
    seed: int = 0,
    clusters: dict[int, Any] | None = None,
) -> dict[str, float | None]:
    """p of no difference between two trainings in each metric, two-sided; none where undefined.

    Args:
        a, b: on the same images.
        metrics: names as in ``metric.parse``.
        clusters: image id -> cluster, swapped whole.

    Raises:
        DataError: the matches are of different images, classes or settings.
        RecipeError: an unknown metric or class.
    """
    first, second = (resampled.of_matches(one, ()) for one in (a, b))
    resampled.check_same(first, [second])
    groups = groups_of(a.image_ids, clusters)
    rng = np.random.default_rng(seed)
    coins = rng.integers(0, 2, (int(groups.max(initial=-1)) + 1, swaps), np.uint8)[groups]
    merged = merge(a, b)
    wanted = [parse(name, a.names) for name in metrics]
    weights = np.concatenate((coins, 1 - coins))
    ours, theirs = (accumulate.replicate(merged, one, wanted) for one in (weights, 1 - weights))
    # As it is, through the same sums, so that equals are equal.
    apart = np.repeat([1, 0], len(groups))[:, None].astype(np.uint8)
    plain = accumulate.replicate(merged, np.concatenate((apart, 1 - apart), axis=1), wanted)
    found: dict[str, float | None] = {}
    for name, one, other, (of_a, of_b) in zip(metrics, ours, theirs, plain, strict=True):
        beyond = np.count_nonzero(np.abs(one - other) >= abs(of_a - of_b) - 1e-9)
        found[name] = None if np.isnan(of_a - of_b) else float((beyond + 1) / (swaps + 1))
    return found


def merge(a: Matches, b: Matches) -> Matches:
    """Both detectors' matches, those of b on a second copy of each image."""
    count = len(a.image_ids)
    labels = np.concatenate([np.repeat(np.arange(len(m.names)), np.diff(m.starts)) for m in (a, b)])
    images = np.concatenate((a.images, b.images + count))
    scores = np.concatenate((a.scores, b.scores))
    # Of equal scores those of the earlier image come first, as in each alone.
    order = order_by(labels, -scores, images % count)
    held = np.concatenate(
        [np.repeat(np.arange(len(m.names)), np.diff(m.object_starts)) for m in (a, b)]
    )
    objects = np.argsort(held, kind="stable")
    classes = np.arange(len(a.names) + 1)

    def both(name: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.concatenate((getattr(a, name), getattr(b, name)), axis=-1)[..., rows]

    return replace(
        a,
        image_ids=np.arange(2 * count),
        starts=np.searchsorted(labels[order], classes),
        scores=scores[order],
        images=images[order],
        right=both("right", order),
        ignored=both("ignored", order),
        object_starts=np.searchsorted(held[objects], classes),
        object_images=np.concatenate((a.object_images, b.object_images + count))[objects],
        object_ignored=both("object_ignored", objects),
    )


def disagree(p: float | None, other: float | None) -> bool:
    """Whether one finds a difference at 5 % and the other none."""
    return p is not None and other is not None and (p <= BORDER) != (other <= BORDER)
