"""Points that learnt sampling moves, and what follows from them. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detbench.analysis.kind import Floats
from detbench.evaluation.detections import iou

NAMES = (
    *("length", "right", "down", "right_squared", "down_squared"),
    *("scatter", "outside", "outside_before", "worst", "gained"),
)
LEAST = 1e-6
"""Pixels that a side has at least."""
SIDES = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
"""Which way is out at the left, top, right and bottom side."""


@dataclass(frozen=True)
class Moved:
    """What one part of a detector moves for an object, in pixels of the original.

    Attributes:
        before, after: (K, 2), points x and y; of a region that moves as a whole its centre.
        region: (2, 4), xyxy, that region before and after; none where points move.
    """

    before: Floats
    after: Floats
    region: Floats | None = None

    def numbers(self, box: Floats, read: Floats) -> dict[str, float]:
        """``NAMES``, lengths in sides of the object.

        Args:
            box, read: of the object, and what the detector makes of the region or place, xyxy.
        """
        sides = np.maximum(box[2:] - box[:2], LEAST)
        shifts = (self.after - self.before) / sides
        right, down = shifts.mean(axis=0).tolist()
        found = {"length": float(np.linalg.norm(shifts, axis=1).mean())}
        found |= {"right": right, "down": down}
        found |= {"right_squared": right**2, "down_squared": down**2}
        wrong = np.abs(read - box) / np.tile(sides, 2)
        found["worst"] = float(shifts.mean(axis=0) @ SIDES[int(wrong.argmax())])
        if self.region is not None:
            before, after = (_iou(one, box) for one in self.region)
            return found | {"gained": after - before}
        spread = [_spread(one / sides) for one in (self.before, self.after)]
        if spread[0] > 0:
            found["scatter"] = spread[1] / spread[0]
        found["outside_before"], found["outside"] = (
            float(((one < box[:2]) | (one > box[2:])).any(axis=1).mean())
            for one in (self.before, self.after)
        )
        return found

    def about(self, box: Floats) -> tuple[Floats, Floats]:
        """Both sets of points in sides of the object from its centre."""
        middle, sides = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], LEAST)
        return (self.before - middle) / sides, (self.after - middle) / sides


def _spread(points: Floats) -> float:
    """How far points are from their mean: the root of the mean square."""
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _iou(first: Floats, second: Floats) -> float:
    one, other = (np.concatenate((box[:2], box[2:] - box[:2])) for box in (first, second))
    return float(iou(one, other))
