"""Do the best scored boxes lie best? TSCODE Figures 1 and 6, Double-Head Figure 3, right.

A box claims the object of its class that it overlaps most (``evaluation.competition``). Of each
object the best-placed box and the three best-scored ones are kept, and of all its boxes what a
correlation of score and IoU takes; then the same of the boxes that NMS leaves. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from detbench.analysis import drawing, summary
from detbench.analysis.kind import (
    SIZES,
    THIRDS,
    Analysis,
    Asked,
    Columns,
    Flags,
    Floats,
    Kind,
    Number,
    Quantity,
    Setting,
)
from detbench.evaluation.competition import Boxed, claims

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.evaluation.inspection import Inspection

BEFORE, AFTER = "before NMS", "after NMS"
PEARSON, SPEARMAN = "Pearson of score and IoU", "Spearman of score and IoU"
GIVEN_UP, LOST = "IoU given up", "objects that lose a better box to NMS"
TOP = 3
MOMENTS = ("ones", "x", "y", "xx", "yy", "xy")
OF_OBJECT = (
    *("spearman", "best_iou", "score_of_best_iou"),
    *(f"{what}_{n}" for n in range(1, TOP + 1) for what in ("score", "iou")),
    *("into_nms", "left_by_nms"),
)
"""Columns of the lines of objects; not a number in those of boxes."""
FEWEST = 3
"""Boxes of an object below which their order tells nothing."""


def measure(asked: Asked) -> Columns:
    """The table of one image, see ``of_image``."""
    objects = asked.opened.objects(asked.image)
    return of_image(asked.image, asked.opened.inspect(asked.image), objects.boxed, objects.areas)


def of_image(image: int, seen: Inspection, objects: Boxed, areas: Floats) -> Columns:
    """A line for each object, of all boxes that claim it, and one for each claim after NMS.

    Args:
        seen: the image's boxes; ``objects``, ``areas``: what is on it.
    """
    into, left = (_best(boxes, objects) for boxes in (seen.before, seen.after))
    claimed, overlap = claims(seen.every, objects)
    lines = []
    for index in range(len(objects)):
        own = np.flatnonzero(claimed == index)
        found = _of_object(seen.every.scores[own], overlap[own, index])
        lines.append([0.0, index, *found, into[index], left[index]])
    claimed, overlap = claims(seen.after, objects)
    nothing = [float("nan")] * len(OF_OBJECT)
    for row in np.flatnonzero(claimed >= 0).tolist():
        index = int(claimed[row])
        one = summary.moments(seen.after.scores[[row]], overlap[[row], index])[0].tolist()
        lines.append([1.0, index, *one, *nothing])
    names = ("after", "object", *MOMENTS, *OF_OBJECT)
    table = np.array(lines, np.float64).reshape(-1, len(names))
    columns = {name: table[:, place] for place, name in enumerate(names)}
    owner = columns["object"].astype(np.int64)
    return {
        "image": np.full(len(table), image, np.int64),
        "label": objects.labels[owner],
        "area": areas[owner],
        **columns,
    }


def _of_object(scores: Floats, ious: Floats) -> list[float]:
    """Of the boxes that claim an object: sums for a correlation, their order, the best placed, the
    best scored; not a number where there are none.
    """
    nan = float("nan")
    sums = summary.moments(scores, ious).sum(axis=0).tolist()
    spearman = nan
    if len(scores) >= FEWEST:
        both = summary.moments(summary.ranks(scores), summary.ranks(ious))
        spearman = float(summary.pearson(both.sum(axis=0)))
    best = int(ious.argmax()) if len(ious) else -1
    placed = [float(ious[best]), float(scores[best])] if len(ious) else [nan, nan]
    order = np.argsort(-scores, kind="stable")[:TOP].tolist()
    top = [value for at in order for value in (float(scores[at]), float(ious[at]))]
    return [*sums, spearman, *placed, *top, *[nan] * (2 * TOP - len(top))]


def _best(boxes: Boxed, objects: Boxed) -> Floats:
    """The best IoU of each object with a box that claims it, 0 without one."""
    claimed, overlap = claims(boxes, objects)
    own = overlap * (claimed[:, None] == np.arange(len(objects)))
    best: Floats = own.max(axis=0, initial=0.0)
    return best


def quantities(analysis: Analysis) -> list[Quantity]:
    """Correlations before and after NMS by group, and what scores and NMS cost."""
    found = []
    for group in analysis.groups.names():
        found += _correlations(analysis, group)
        found += _costs(analysis, group)
    return found


def _correlations(analysis: Analysis, group: str) -> list[Quantity]:
    groups = analysis.groups

    def before(table: Columns) -> Flags:
        return groups.lines(group, table) & (table["after"] == 0)

    def ordered(table: Columns) -> Flags:
        return before(table) & ~np.isnan(table["spearman"])

    def after(table: Columns) -> Flags:
        return groups.lines(group, table) & (table["after"] == 1)

    def ranked(table: Columns) -> Floats:
        return summary.moments(summary.ranks(table["x"]), summary.ranks(table["y"]))

    pearson = summary.pearson
    return [
        Quantity(PEARSON, BEFORE, group, before, _moments, pearson),
        Quantity(SPEARMAN, BEFORE, group, ordered, summary.column("spearman"), summary.mean),
        Quantity(PEARSON, AFTER, group, after, _moments, pearson),
        Quantity(SPEARMAN, AFTER, group, after, ranked, pearson),
    ]


def _costs(analysis: Analysis, group: str) -> list[Quantity]:
    groups, margin, mean = analysis.groups, analysis.settings["margin"], summary.mean

    def claimed(table: Columns) -> Flags:
        return groups.lines(group, table) & ~np.isnan(table["iou_1"])

    def survived(table: Columns) -> Flags:
        return claimed(table) & (table["left_by_nms"] > 0)

    def given_up(table: Columns) -> Floats:
        return table["best_iou"] - table["iou_1"]

    def lost(table: Columns) -> Floats:
        return (table["into_nms"] - table["left_by_nms"] > margin).astype(np.float64)

    return [
        Quantity("best IoU", BEFORE, group, claimed, summary.column("best_iou"), mean),
        Quantity("IoU of the best score", BEFORE, group, claimed, summary.column("iou_1"), mean),
        Quantity(GIVEN_UP, BEFORE, group, claimed, summary.values(given_up), mean),
        Quantity(LOST, AFTER, group, survived, summary.values(lost), mean),
    ]


def _moments(table: Columns) -> Floats:
    return np.stack([table[name] for name in MOMENTS], axis=-1)


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """Correlations by group, and what the best score gives up and NMS takes."""
    panels = [
        drawing.Panel("Pearson, before NMS", BEFORE, PEARSON),
        drawing.Panel("Pearson, after NMS", AFTER, PEARSON),
        drawing.Panel("IoU given up: best − best scored", BEFORE, GIVEN_UP),
        drawing.Panel("share that loses to NMS", AFTER, LOST),
    ]
    names = [one for one in ("all", *SIZES, *THIRDS) if one in analysis.groups.names()]
    return drawing.bars_of_groups(analysis, numbers, panels, names, words)


KIND = Kind(
    name="alignment",
    title="Score against IoU, before and after NMS",
    figures="TSCODE 1 and 6, Double-Head 3 (right), Decoupled R-CNN 4",
    needs="weights",
    measure=measure,
    quantities=quantities,
    draw=draw,
    settings=(Setting("margin", 0.05, 0.0, 1.0, "IoU from which on a box is better", whole=False),),
    explain="Boxes before NMS are all (place, class) pairs, whatever their score; a box claims the "
    "object of its class that it overlaps most, from IoU 0.1 on. Pearson pools all boxes; Spearman "
    "before NMS is within an object of three boxes or more, a mean over objects; after NMS it "
    "pools, with the ranks of all boxes. IoU given up: the best IoU of any box less that of the "
    "best-scored one. Lost to NMS: of objects with a box left, those whose best box that went into "
    "NMS was better than the best that is left by more than the margin.",
)
