"""Resolved recipe to modules: the only bridge between the two."""

from __future__ import annotations

from torch import nn

from detbench.assembly.dense import build_dense
from detbench.assembly.roi import build_roi
from detbench.recipe.detector import Dense, Detector, Roi


def build_detector(settings: Detector, num_classes: int) -> nn.Module:
    """Build a detector from a resolved recipe, weights initialised as its paper says.

    Args:
        settings: the detector table of a recipe.
        num_classes: classes without background, 1 or more.

    Raises:
        RecipeError: settings that contradict each other, or a custom target that cannot be had.
    """
    match settings:
        case Dense():
            return build_dense(settings, num_classes)
        case Roi():
            return build_roi(settings, num_classes)
