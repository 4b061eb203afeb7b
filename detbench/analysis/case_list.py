"""Which images are shown: those in which rows differ most, by a stated score. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detbench.analysis.case_matching import OBJECT, judged
from detbench.analysis.kind import Analysis, Columns, Floats

FOUND, DOUBLED, PLACED = "found", "doubled", "placed"
"""Settings: weights of what a score counts."""
TINY = 1e-9
"""An IoU that is a difference, however small a margin is asked for."""


@dataclass(frozen=True)
class Case:
    """One image.

    Attributes:
        found, doubled, placed: what the score counts, before its weights; 0 without one.
        spread: over all objects that every row finds, the greatest IoU less the least.
        objects: on the image.
        differing: (n,), the objects that count, by their number on the image.
    """

    image: int
    score: float
    found: int
    doubled: int
    placed: int
    spread: float
    objects: int
    differing: tuple[int, ...]

    @property
    def words(self) -> str:
        """What it counts, in words."""
        told = [
            f"{self.found} not found by all" if self.found else "",
            f"{self.doubled} duplicate{'s' * (self.doubled != 1)}" if self.doubled else "",
            f"{self.placed} better placed" if self.placed else "",
        ]
        return ", ".join(one for one in told if one)


def chosen(analysis: Analysis) -> list[Case]:
    """The cases with the highest scores, none of score 0, as many as the settings ask for."""
    if len(analysis.rows) < 2:
        return []
    tables = [judged(row.tables[0], analysis.settings) for row in analysis.rows]
    tables = [{k: v[t["what"] == OBJECT] for k, v in t.items()} for t in tables]
    images, places = np.unique(tables[0]["image"], return_inverse=True)
    found, doubled, iou = (_spread(tables, name) for name in ("found", "doubled", "iou"))
    settings = analysis.settings
    better = (np.nan_to_num(iou) >= max(settings["margin"], TINY)).astype(np.float64)
    every = np.stack([found, doubled, better])
    weights = np.array([settings[name] for name in (FOUND, DOUBLED, PLACED)])
    every[weights <= 0] = 0.0  # what does not count is not told of either
    counts = np.stack([np.bincount(places, one, len(images)) for one in every])
    score = weights @ counts
    spread = np.bincount(places, np.nan_to_num(iou), len(images))
    differing = (every > 0).any(axis=0)
    order = np.lexsort((images, -spread, -score))[: int(settings["top"])]
    return [
        Case(
            int(images[at]),
            float(score[at]),
            *(int(counts[0, at]), int(counts[1, at]), int(counts[2, at])),
            float(spread[at]),
            int(np.count_nonzero(places == at)),
            tuple(tables[0]["object"][(places == at) & differing].astype(int).tolist()),
        )
        for at in order.tolist()
        if score[at] > 0
    ]


def _spread(tables: list[Columns], name: str) -> Floats:
    """The greatest of the rows less the least, of each object; not a number where one has none."""
    every = np.stack([one[name] for one in tables])
    return np.asarray(every.max(axis=0) - every.min(axis=0), np.float64)
