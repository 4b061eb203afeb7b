"""Where do rows differ? Double-Head Figures 9 and 10, Decoupled R-CNN Figure 5, TSCODE Figure 6.

Of each row the best-scored boxes count, as many as there are objects, or those from a given score
on. Boxes find objects as in COCO's evaluation: by falling score, each takes the object of its class
that it overlaps most of those that are left. A box that finds none and lies on an object which
another one finds is a duplicate. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detbench.analysis import case_drawing, case_list, summary
from detbench.analysis.case_list import DOUBLED, FOUND, PLACED
from detbench.analysis.case_matching import OBJECT, judged, of_image, threshold
from detbench.analysis.kind import (
    DIGITS,
    Analysis,
    Asked,
    Columns,
    Flags,
    Floats,
    Ints,
    Kind,
    Measured,
    Number,
    Quantity,
    Setting,
)
from detbench.evaluation.competition import Boxed
from detbench.evaluation.detections import positions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.analysis.subjects import Subject
    from detbench.results.store import Store


def source(subject: Subject, store: Store) -> Any:
    """Which detections; none of a checkpoint given by path."""
    return None if subject.content else store.fingerprint(subject.digest)


def measure(asked: Asked) -> Columns:
    """The table of one image, from stored detections or from the checkpoint, see ``of_image``."""
    truth = asked.truth
    if truth is None:
        raise TypeError("cases need the objects")
    place = int(np.searchsorted(truth.image_ids, asked.image))
    rows = np.flatnonzero(truth.images == place)
    boxes = truth.boxes[rows].copy()
    boxes[:, 2:] += boxes[:, :2]
    every = Boxed(boxes, truth.labels[rows], np.ones(len(rows)))
    crowd = truth.crowd[rows]
    if asked.opened is not None:
        found = asked.opened.inspect(asked.image).after
    else:
        found = _boxed(asked.detections, truth.category_ids)
    whole, crowds = every.chosen(~crowd), every.chosen(crowd)
    least = asked.settings["iou"]
    return of_image(asked.image, found, (whole, crowds), truth.areas[rows][~crowd], least)


def _boxed(results: Sequence[Any], category_ids: Ints) -> Boxed:
    """COCO results of one image."""
    boxes = np.array([one["bbox"] for one in results], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = np.array([one["category_id"] for one in results], np.int64)
    scores = np.array([one["score"] for one in results], np.float64)
    return Boxed(boxes, positions(category_ids, ids), scores)


def numbers(analysis: Analysis) -> list[Number]:
    """Of each row what it finds and doubles; of each with the baseline what one alone does; the
    scores of the images that are shown.
    """
    whole, quantities = claimed(analysis)
    rows, digits = whole.rows, _digits(whole)
    found = summary.numbers(whole, quantities)
    for other in rows[1:]:
        pair = _pair(rows[0], other)
        names = (rows[0].label, other.label)
        found += summary.numbers(replace(whole, rows=(pair,)), _of_pairs(whole, names, digits))
    return [_counted(one) for one in found] + _shown(analysis)


def claimed(analysis: Analysis) -> tuple[Analysis, list[Quantity]]:
    """The analysis with its boxes judged, and what each row finds, doubles and adds."""
    rows = [
        replace(row, tables=tuple(judged(one, analysis.settings) for one in row.tables))
        for row in analysis.rows
    ]
    whole = replace(analysis, rows=tuple(rows))
    return whole, _of_rows(whole, _digits(whole))


def _digits(analysis: Analysis) -> int:
    """Of counts: they are whole numbers with one seed, means with several."""
    return int(any(len(row.seeds) > 1 for row in analysis.rows))


def _counted(one: Number) -> Number:
    """A number, the interval of a count not below 0: of few images it is widened to both sides."""
    counts = not one.baseline and one.digits < DIGITS
    return replace(one, low=max(0.0, one.low)) if counts and one.low is not None else one


def _objects(analysis: Analysis, group: str, table: Columns) -> Flags:
    return analysis.groups.lines(group, table) & (table["what"] == OBJECT)


def _of_rows(analysis: Analysis, digits: int) -> list[Quantity]:
    made = []
    for group in analysis.groups.names():

        def objects(table: Columns, group: str = group) -> Flags:
            return _objects(analysis, group, table)

        def seen(table: Columns, group: str = group) -> Flags:
            return _objects(analysis, group, table) & (table["found"] > 0)

        counts = (("objects found", "found"), ("duplicates", "doubled"))
        for name, column in counts:
            sums = summary.column(column)
            made.append(Quantity(name, "boxes", group, objects, sums, _count, digits=digits))
        sums = summary.column("iou")
        made.append(Quantity("IoU of the box that finds", "boxes", group, seen, sums, summary.mean))
    sums = summary.column("wrong")
    made.append(Quantity("other wrong boxes", "boxes", "all", _kept, sums, _count, digits=digits))
    sums = summary.values(lambda table: table["doubled"] + table["wrong"])
    made.append(Quantity("false positives", "boxes", "all", _kept, sums, _count, digits=digits))
    return made


def _kept(table: Columns) -> Flags:
    return np.asarray(table["kept"] > 0)


def _count(sums: Floats) -> Floats:
    """Of (..., 2) sums: the second."""
    return np.asarray(sums[..., 1])


def _pair(first: Measured, second: Measured) -> Measured:
    """Both rows' objects, line by line; a table for each seed."""
    tables = []
    for a, b in zip(first.tables, second.tables, strict=True):
        one, two = ({k: v[t["what"] == OBJECT] for k, v in t.items()} for t in (a, b))
        added = {f"{name}_b": two[name] for name in ("found", "iou", "doubled")}
        tables.append({**one, **added})
    return Measured(second.label, second.seeds, tuple(tables))


def _of_pairs(analysis: Analysis, names: tuple[str, str], digits: int) -> list[Quantity]:
    margin, part = analysis.settings["margin"], f"and {names[0]}"
    one, two = names

    def of(name: str, group: str, flags: Any, both: bool = False) -> Quantity:
        def lines(table: Columns) -> Flags:
            return _both(analysis, group, table) if both else _objects(analysis, group, table)

        sums = summary.values(lambda table: np.asarray(flags(table), np.float64))
        return Quantity(name, part, group, lines, sums, _count, digits=digits)

    def gained(group: str) -> Quantity:
        def lines(table: Columns) -> Flags:
            return _both(analysis, group, table)

        sums = summary.values(lambda table: table["iou_b"] - table["iou"])
        return Quantity(f"IoU less {one}'s", part, group, lines, sums, summary.mean)

    made = []
    for group in analysis.groups.names():
        made += [
            of("found by both", group, lambda t: t["found"] * t["found_b"]),
            of(f"found by {two} alone", group, lambda t: t["found_b"] * (1 - t["found"])),
            of(f"found by {one} alone", group, lambda t: t["found"] * (1 - t["found_b"])),
            of("found by neither", group, lambda t: (1 - t["found"]) * (1 - t["found_b"])),
            of(f"doubled by {two} alone", group, lambda t: _alone(t, "doubled_b", "doubled"), True),
            of(f"doubled by {one} alone", group, lambda t: _alone(t, "doubled", "doubled_b"), True),
            of(f"better placed by {two}", group, lambda t: t["iou_b"] - t["iou"] >= margin, True),
            of(f"better placed by {one}", group, lambda t: t["iou"] - t["iou_b"] >= margin, True),
            gained(group),
        ]
    return made


def _both(analysis: Analysis, group: str, table: Columns) -> Flags:
    """The objects of a group that both rows of a pair find."""
    found = (table["found"] > 0) & (table["found_b"] > 0)
    return _objects(analysis, group, table) & found


def _alone(table: Columns, first: str, second: str) -> Flags:
    return np.asarray((table[first] > 0) & (table[second] == 0))


def _shown(analysis: Analysis) -> list[Number]:
    found = []
    for case in case_list.chosen(analysis):
        part, name = f"image {case.image}", f"score of the case ({case.words})"
        made = (case.score, None, None, case.objects, 1)
        found.append(Number("all rows", "", part, "all", name, *made, digits=1))
    return found


def notes(analysis: Analysis) -> list[str]:
    """From which score on boxes count, and what the score of a case is."""
    said = []
    for row in analysis.rows:
        scores = ", ".join(f"{threshold(one, analysis.settings):.3f}" for one in row.tables)
        said.append(f"{row.label}: {scores}")
    how = "as asked" if analysis.settings["score"] > 0 else "as many as there are objects"
    margin = analysis.settings["margin"]
    weights = {name: analysis.settings[name] for name in (FOUND, DOUBLED, PLACED)}
    return [
        f"Boxes that count ({how}) score from: {'; '.join(said)}.",
        f"Score of a case: {weights[FOUND]:g} for each object that one row finds and another does "
        f"not, {weights[DOUBLED]:g} for each duplicate that one row has more than another, "
        f"{weights[PLACED]:g} for each object that all find and one places better by an IoU of "
        f"{margin:g} or more; of equal ones that with the larger differences of IoU first"
        + ("; by the first seed." if len(analysis.rows[0].seeds) > 1 else "."),
    ]


def draw(analysis: Analysis, found: Sequence[Number], words: tuple[str, str]) -> Figure:
    """The images with the highest scores, a row each: the objects, then the boxes of every row."""
    return case_drawing.draw(analysis, (words[0], " ".join([words[1], *notes(analysis)])))


def _weight(name: str, what: str) -> Setting:
    return Setting(name, 1.0, 0.0, 100.0, f"of {what} in a case's score", whole=False)


KIND = Kind(
    name="cases",
    title="Images where rows differ most",
    figures="Double-Head 9 and 10, Decoupled R-CNN 5, TSCODE 6",
    needs="boxes",
    measure=measure,
    quantities=lambda analysis: (),
    claimed=claimed,
    draw=draw,
    settings=(
        Setting("score", 0.0, 0.0, 1.0, "that boxes count from; 0: as many as objects", False),
        Setting("iou", 0.5, 0.1, 1.0, "IoU from which on a box finds an object", whole=False),
        Setting("overlap", 0.3, 0.05, 1.0, "IoU from which on one is a duplicate", whole=False),
        Setting("margin", 0.1, 0.0, 1.0, "IoU from which on a box is better placed", whole=False),
        _weight(FOUND, "an object that only some find"),
        _weight(DOUBLED, "a duplicate that only some have"),
        _weight(PLACED, "an object that some place better"),
        Setting("top", 6, 1, 24, "images in the picture"),
    ),
    explain="Values count objects and boxes. Boxes find objects as in COCO's evaluation; a "
    "duplicate finds none and lies on an object of its class that another box finds; doubled, "
    "better placed and IoU less another's are of the objects that both rows find.",
    numbers=numbers,
    notes=notes,
    source=source,
    photographs=True,
)
