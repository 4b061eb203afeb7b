"""Names of COCO's metrics, and what each is the mean of. No torch.

``AP`` is the mean over the IoU thresholds 0.50 to 0.95, ``AP75`` that at one, ``APs`` that of small
objects, ``APs75`` that of small objects at one; ``AR`` and ``ARs`` likewise. In brackets stands one
class: ``AP50[person]``. Those of masks are ``maskAP`` and so on, but for one size at one IoU.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from detbench.errors import RecipeError
from detbench.recipe import metrics
from detbench.recipe.experiment import Evaluation
from detbench.recipe.metrics import MASK_SCORES, SCORES, SIZED

THRESHOLDS = tuple(range(50, 100, 5))
AREAS = ("", "s", "m", "l")
METRICS = SCORES
"""What an evaluation gives; ``SIZED`` ones have names too."""
MASK_METRICS = MASK_SCORES
UNBOUNDED = 1e5**2  # COCO's largest area


@dataclass(frozen=True)
class Mean:
    """What a metric is the mean of.

    Attributes:
        recall: average recall instead of precision.
        area: place in ``AREAS``.
        thresholds: places in ``THRESHOLDS``.
        category: name of its one class; none is the mean over all that have objects.
        masks: of masks, not boxes.
    """

    recall: bool
    area: int
    thresholds: tuple[int, ...]
    category: str | None = None
    masks: bool = False


def parse(name: str, categories: Sequence[str] = ()) -> Mean:
    """The metric called ``name``.

    Args:
        categories: names that may stand in brackets.

    Raises:
        RecipeError: no such metric or class.
    """
    # A class may have any name, one with line breaks too.
    match = re.fullmatch(r"([A-Za-z0-9]+)(?:\[(.+)\])?", name.strip(), re.DOTALL)
    base, category = (match[1], match[2]) if match else (name, None)
    known = (*METRICS, *SIZED, *MASK_METRICS)
    if base not in known:
        close = difflib.get_close_matches(base, known, 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise RecipeError(f"no metric '{name}'{hint} (choices: {metrics.listed(known)})")
    if category is not None and category not in categories:
        close = difflib.get_close_matches(category, categories, 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        shown = ", ".join(categories[:8]) + (", ..." if len(categories) > 8 else "")
        raise RecipeError(f"metric '{name}': no class '{category}'{hint} (classes: {shown})")
    one = metrics.METRICS[base]
    every = tuple(range(len(THRESHOLDS)))
    thresholds = every if one.iou is None else (THRESHOLDS.index(one.iou),)
    masks = one.block == "mask score"
    return Mean(one.recall, AREAS.index(one.area), thresholds, category, masks)


def of_masks(name: str) -> bool:
    """Whether a metric, with or without a class in brackets, is of masks."""
    return name.strip().partition("[")[0] in MASK_METRICS


def by_kind(names: Sequence[str]) -> list[tuple[bool, list[str]]]:
    """The metrics of boxes, then those of masks, each with whether they are of masks; a kind that
    has none is left out.
    """
    kinds = ((kind, [one for one in names if of_masks(one) is kind]) for kind in (False, True))
    return [(kind, some) for kind, some in kinds if some]


def bounds(evaluation: Evaluation) -> list[list[float]]:
    """Bounds in square pixels of all, small, medium and large objects."""
    small = (32 * evaluation.area_scale) ** 2
    large = (96 * evaluation.area_scale) ** 2
    return [[0.0, UNBOUNDED], [0.0, small], [small, large], [large, UNBOUNDED]]
