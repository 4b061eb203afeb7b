"""Two Grad-CAMs of an object: what follows from them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detbench.analysis import summary
from detbench.analysis.kind import Floats

INNER = 0.5
"""Share of an object's sides that its middle has; the rest is its border."""
EVEN_BORDER = 1 - INNER**2
FEWEST = 4
"""Cells below which two maps cannot be likened."""
NAMES = (
    *("inside_cls", "inside_loc", "even"),
    *("border_cls", "border_loc", "pearson", "common", "empty_cls", "empty_loc"),
)


@dataclass(frozen=True)
class Cams:
    """The maps of one level.

    Attributes:
        cls, loc: (H, W), not negative; the cells begin at the image's top left corner.
        cell: width and height of a cell, in pixels of the original image.
        size: width and height of that image: what cells have beyond it does not count.
    """

    cls: Floats
    loc: Floats
    cell: tuple[float, float]
    size: tuple[float, float]

    def cover(self, box: Floats) -> Floats:
        """(H, W): which share of each cell a box covers."""
        shares = []
        for axis, count in ((1, self.cls.shape[0]), (0, self.cls.shape[1])):
            side = self.cell[axis]
            starts = np.arange(count) * side
            low, high = np.maximum(starts, box[axis]), np.minimum(starts + side, box[axis + 2])
            shares.append(np.clip(high - low, 0, None) / side)
        return np.outer(*shares)

    def numbers(self, box: Floats) -> dict[str, float]:
        """``NAMES`` for an object's box; what an empty map cannot tell is missing."""
        whole = self.cover(np.array([0, 0, *self.size], np.float64))
        cover = self.cover(box)
        middle, sides = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * INNER / 2
        core = self.cover(np.concatenate((middle - sides, middle + sides)))
        found = {"even": float(cover.sum() / whole.sum())}
        held = {}
        for name, values in (("cls", self.cls), ("loc", self.loc)):
            total = float((values * whole).sum())
            found[f"empty_{name}"] = float(total <= 0)
            if total > 0:
                held[name] = values * whole / total
                found[f"inside_{name}"] = inside = float((values * cover).sum() / total)
                if inside > 0:
                    found[f"border_{name}"] = 1 - float((values * core).sum() / total) / inside
        if len(held) == 2 and whole.size >= FEWEST:
            found["common"] = float(np.minimum(held["cls"], held["loc"]).sum())
            seen = whole > 0
            pairs = summary.moments(self.cls[seen], self.loc[seen])
            pearson = float(summary.pearson(pairs.sum(axis=0) * _unit(self.cls, self.loc)))
            found["pearson"] = pearson
        return found


def _unit(cls: Floats, loc: Floats) -> Floats:
    """What makes moments those of maps whose highest values are 1."""
    x, y = 1 / cls.max(), 1 / loc.max()
    return np.array([1, x, y, x * x, y * y, x * y])


def about(cams: Sequence[tuple[Cams, Floats]], reach: float, side: int) -> Floats:
    """(3, side, side): how many objects have a cell, and the sums of both maps there.

    Args:
        cams: with the box of each object, xyxy; their maps count from 0 to their highest value.
        reach: of the cells' centres from the object's, in its sides; those beyond the image do
            not count.
        side: cells along each side.
    """
    steps = np.linspace(-reach, reach, side)
    total = np.zeros((3, side, side))
    for one, box in cams:
        middle, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        xs, ys = (middle[axis] + steps * sides[axis] for axis in (0, 1))
        columns, rows = (
            np.clip((at // one.cell[axis]).astype(np.int64), 0, one.cls.shape[1 - axis] - 1)
            for axis, at in enumerate((xs, ys))
        )
        seen = np.outer((ys >= 0) & (ys < one.size[1]), (xs >= 0) & (xs < one.size[0]))
        maps = [seen * _to_one(values)[np.ix_(rows, columns)] for values in (one.cls, one.loc)]
        total += np.stack([seen.astype(np.float64), *maps])
    return total


def _to_one(values: Floats) -> Floats:
    highest = float(values.max(initial=0.0))
    return values / highest if highest > 0 else values
