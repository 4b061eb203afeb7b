"""What both tasks say at places about an object, and what follows from it. No torch.

Places are told in sides of the object from its centre: (0, 0) is the centre, 0.5 a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from detbench.analysis import summary
from detbench.analysis.kind import Flags, Floats, Ints

FEWEST = 4
"""Places below which a map tells nothing."""
FLAT = 1e-5
"""From the lowest to the highest value of a map that has no peak."""
BEST = 0.25
"""Share of the places that are the best ones."""
NAMES = (
    *("pearson", "overlap", "apart", "border_cls", "border_loc"),
    *("range_cls", "range_loc", "given_up"),
)


@dataclass(frozen=True)
class Field:
    """Two maps.

    Attributes:
        xs, ys: (W,) and (H,), places, ascending.
        cls, loc: (H, W), the score of the object's class, and the IoU of the box with the object.
    """

    xs: Floats
    ys: Floats
    cls: Floats
    loc: Floats

    @cached_property
    def places(self) -> Floats:
        """(H W, 2): x and y of each."""
        return np.stack(np.meshgrid(self.xs, self.ys), axis=-1).reshape(-1, 2)

    def numbers(self) -> dict[str, float]:
        """``NAMES`` of the object; what a map without a peak cannot tell is missing."""
        cls, loc = self.cls.ravel(), self.loc.ravel()
        if len(cls) < FEWEST:
            return {}
        found = {"range_cls": float(np.ptp(cls)), "range_loc": float(np.ptp(loc))}
        peaks = {}
        for name, values in (("cls", cls), ("loc", loc)):
            if np.ptp(values) > FLAT:
                peaks[name] = peak = self.places[int(values.argmax())]
                found[f"border_{name}"] = 2 * float(np.abs(peak).max())
        if len(peaks) == 2:
            pearson = float(summary.pearson(summary.moments(cls, loc).sum(axis=0)))
            found |= {"pearson": pearson, "overlap": overlap(cls, loc)}
            found["apart"] = float(np.linalg.norm(peaks["cls"] - peaks["loc"]))
        if "cls" in peaks:
            found["given_up"] = float(loc.max() - loc[int(cls.argmax())])
        return found


def overlap(cls: Floats, loc: Floats) -> float:
    """Of the best places of one map, the share that are among the best of the other's."""
    count = max(1, round(BEST * len(cls)))
    best = [set(np.argsort(-one, kind="stable")[:count].tolist()) for one in (cls, loc)]
    return len(best[0] & best[1]) / count


def summed(fields: Sequence[Field], reach: float, side: int) -> Floats:
    """(3, side, side): how many objects have a place there, and the sums of both maps.

    The cells' centres reach from ``-reach`` to ``reach``. Each is read at the nearest place, no
    farther than half of what places are apart; of objects with one row or column nothing is.
    """
    at = np.linspace(-reach, reach, side)
    total = np.zeros((3, side, side))
    for one in fields:
        if min(one.cls.shape) < 2:
            continue
        columns, across = _nearest(at, one.xs)
        rows, down = _nearest(at, one.ys)
        seen = np.outer(down, across)
        maps = [seen * values[np.ix_(rows, columns)] for values in (one.cls, one.loc)]
        total += np.stack([seen.astype(np.float64), *maps])
    return total


def _nearest(at: Floats, places: Floats) -> tuple[Ints, Flags]:
    """Which of ascending places is nearest to each position, and whether it is near enough."""
    apart = np.abs(at[:, None] - places)
    index = apart.argmin(axis=1)
    half = (places[-1] - places[0]) / (len(places) - 1) / 2
    return index, apart.min(axis=1) <= half + 1e-9
