"""Names of COCO's metrics, and what each is the mean of. No torch.

``AP`` is the mean over the IoU thresholds 0.50 to 0.95, ``AP75`` that at one, ``APs`` that of small
objects; ``AR`` likewise. In brackets stands one class: ``AP50[person]``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from detbench.errors import RecipeError
from detbench.recipe import metrics
from detbench.recipe.experiment import Evaluation
from detbench.recipe.metrics import SCORES

THRESHOLDS = tuple(range(50, 100, 5))
AREAS = ("", "s", "m", "l")
METRICS = SCORES
UNBOUNDED = 1e5**2  # COCO's largest area


@dataclass(frozen=True)
class Mean:
    """What a metric is the mean of.

    Attributes:
        recall: average recall instead of precision.
        area: place in ``AREAS``.
        thresholds: places in ``THRESHOLDS``.
        category: name of its one class; none is the mean over all that have objects.
    """

    recall: bool
    area: int
    thresholds: tuple[int, ...]
    category: str | None = None


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
    if base not in METRICS:
        close = difflib.get_close_matches(base, METRICS, 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise RecipeError(f"no metric '{name}'{hint} (choices: {', '.join(METRICS)})")
    if category is not None and category not in categories:
        close = difflib.get_close_matches(category, categories, 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        shown = ", ".join(categories[:8]) + (", ..." if len(categories) > 8 else "")
        raise RecipeError(f"metric '{name}': no class '{category}'{hint} (classes: {shown})")
    one = metrics.METRICS[base]
    every = tuple(range(len(THRESHOLDS)))
    thresholds = every if one.iou is None else (THRESHOLDS.index(one.iou),)
    return Mean(one.recall, AREAS.index(one.area), thresholds, category)


def bounds(evaluation: Evaluation) -> list[list[float]]:
    """Bounds in square pixels of all, small, medium and large objects."""
    small = (32 * evaluation.area_scale) ** 2
    large = (96 * evaluation.area_scale) ** 2
    return [[0.0, UNBOUNDED], [0.0, small], [small, large], [large, UNBOUNDED]]
