"""Resolved recipe to modules: the only bridge between the two."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from detbench.assembly.dense import build_dense
from detbench.assembly.roi import build_roi
from detbench.detectors.dense import DenseDetector
from detbench.detectors.roi import RoiDetector
from detbench.recipe.detector import Dense, Detector, Roi


def build_detector(settings: Detector, classes: int | Sequence[str]) -> nn.Module:
    """Build a detector from a resolved recipe, weights initialised as its paper says.

    Args:
        settings: the detector table of a recipe.
        classes: how many without background, 1 or more; or what they are called, in the order of
            the labels, so that checkpoints are joined with them by name.

    Raises:
        RecipeError: settings that contradict each other, or a custom target that cannot be had.
    """
    names = None if isinstance(classes, int) else tuple(classes)
    count = classes if isinstance(classes, int) else len(classes)
    detector: DenseDetector | RoiDetector
    match settings:
        case Dense():
            detector = build_dense(settings, count)
        case Roi():
            detector = build_roi(settings, count)
    detector.class_names = names
    return detector
