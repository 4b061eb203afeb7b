"""Code that the importers of other projects' detectors share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class ForeignState:
    """Another project's state dict under our names.

    Attributes:
        state: its names are ours where we have one.
        classes: names of its classes in the order of ``state``; None if they are unknown.
        differences: what the two networks compute differently, in words; no parameter shows it, but
            a setting of a recipe can match it.
        remarks: differences that no setting of a recipe mends.
    """

    state: State
    classes: tuple[str, ...] | None = None
    differences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def refusal(self, origin: str, how: str = "--allow-partial loads") -> str:
        """Why these weights are not loaded, in one line; empty if they may be.

        Args:
            origin: whose network it is.
            how: they are loaded all the same.
        """
        if not self.differences:
            return ""
        return (
            f"{origin}'s network is another than this detector's, whether parameters fit or not: "
            f"{'; '.join(self.differences)}: set these in a recipe of your own "
            f"(recipes/examples has torchvision's), or {how} them all the same"
        )


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """The first rule (pattern of the whole name, replacement) that matches; else the name."""
    for pattern, replacement in rules:
        renamed, count = re.subn(f"^{pattern}$", replacement, name)
        if count:
            return renamed
    return name


def strides_in_3x3(detector: Any) -> bool | None:
    """Whether the backbone's down-sampling bottlenecks stride in their 3x3; None if it has none."""
    stage: Any = getattr(detector.backbone, "layer2", None)
    if stage is None or not hasattr(stage[0], "conv3"):
        return None
    return _side(stage[0].conv2.stride) == 2


def _side(stride: Any) -> int:
    return stride[0] if isinstance(stride, tuple) else stride
