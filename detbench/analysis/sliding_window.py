"""Which head knows how well a window lies, and which mends it? Double-Head, Figures 2, 3 and 7.

Around each object windows are laid whose IoU with it fills bins from 0 to 1 alike (section 3.1:
about 14,000 an object); of each bin the sums of the class score and of the regressed box's IoU are
kept, so that memory is bounded whatever the data set. No torch.
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
    Ints,
    Kind,
    Number,
    Quantity,
    Setting,
    Sums,
)
from detbench.evaluation.detections import iou

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.recipe.detector import Detector

BINS = 20
SCORE, BOX = "class score", "IoU of the regressed box"
PEARSON = "Pearson of score and window's IoU"
SUMS = ("n", "x", "s", "xx", "ss", "xs", "b", "bb")
"""Of the windows of an object, part and bin: their IoUs x, scores s, regressed boxes' IoUs b."""
TRIES, ROUNDS = 4096, 60


def windows(box: Floats, size: tuple[int, int], each: int, seed: int) -> tuple[Floats, Ints]:
    """Windows around an object whose IoU fills ``BINS`` bins alike.

    They are shifted and scaled at random, the more the smaller the IoU that is lacking, and cut to
    the image.

    Args:
        box: xyxy.
        size: height and width of the image.
        each: windows of a bin; a bin that is hard to hit has fewer.
        seed: of the draw.

    Returns:
        Boxes (K, 4), and the bin of each, (K,), ascending.
    """
    rng = np.random.default_rng(seed)
    held: list[list[Floats]] = [[] for _ in range(BINS)]
    counts = np.zeros(BINS, np.int64)
    for _ in range(ROUNDS):
        lacking = np.flatnonzero(counts < each)
        if not len(lacking):
            break
        made = _tried(rng, box, size, lacking)
        bins = np.minimum((overlaps(made, box) * BINS).astype(np.int64), BINS - 1)
        for place in lacking:
            some = made[bins == place][: each - counts[place]]
            held[place].append(some)
            counts[place] += len(some)
    return np.concatenate([one for some in held for one in some]), np.repeat(
        np.arange(BINS), counts
    )


def _tried(rng: np.random.Generator, box: Floats, size: tuple[int, int], lacking: Ints) -> Floats:
    """Windows that may fall into one of some bins, with sides of a pixel and more."""
    # A shift by a share s of both sides leaves an IoU of about 1 - 2 s of large ones.
    wanted = (rng.choice(lacking, TRIES) + rng.random(TRIES)) / BINS
    spread = (1.2 * (1 - wanted))[:, None]
    sides = box[2:] - box[:2]
    middle = (box[2:] + box[:2]) / 2 + spread * rng.uniform(-1, 1, (TRIES, 2)) * sides
    scaled = sides * np.exp(spread * rng.uniform(-0.7, 0.7, (TRIES, 2)))
    limit = np.array([size[1], size[0]], np.float64)
    low = np.clip(middle - scaled / 2, 0, limit)
    high = np.clip(middle + scaled / 2, 0, limit)
    made = np.concatenate((low, high), axis=1)
    return np.asarray(made[((high - low) >= 1).all(axis=1)])


def overlaps(boxes: Floats, box: Floats) -> Floats:
    """(K,): the IoU of each with an object, xyxy."""
    first, second = (
        np.concatenate((one[..., :2], one[..., 2:] - one[..., :2]), -1) for one in (boxes, box)
    )
    return iou(first, second)


def measure(asked: Asked) -> Columns:
    """The table of one image, see ``of_windows``."""
    from detbench.analysis.regions import Image

    opened = asked.opened
    objects, image = opened.objects(asked.image), opened.image(asked.image)
    maps = Image(opened, image) if len(objects.labels) else None
    each = max(1, int(asked.settings["windows"]) // BINS)
    found = [_nothing()]
    for index, box in enumerate(objects.boxes):
        laid, bins = windows(box, image.shape[-2:], each, asked.image * 1000 + index)
        label = int(objects.labels[index])
        said = maps.say(laid, label, box) if maps else {}
        about = {"image": asked.image, "label": label, "area": objects.areas[index]}
        parts = {name: (one.scores, one.ious) for name, one in said.items()}
        found.append(of_windows(about, overlaps(laid, box), bins, parts))
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def of_windows(
    about: dict[str, float], ious: Floats, bins: Ints, parts: dict[str, tuple[Floats, Floats]]
) -> Columns:
    """A line for each part and bin that has a window.

    Args:
        about: the object's image, label and area.
        ious, bins: of the windows.
        parts: what each part says of them: scores, and IoUs of the regressed boxes.
    """
    lines, names = [], []
    for name, (scores, boxes) in parts.items():
        terms = (
            *(np.ones_like(ious), ious, scores, ious**2, scores**2, ious * scores),
            *(boxes, boxes**2),
        )
        sums = np.stack([np.bincount(bins, one, BINS) for one in terms], axis=1)
        some = np.flatnonzero(sums[:, 0])
        lines += [[place, *sums[place]] for place in some.tolist()]
        names += [name] * len(some)
    table = np.array(lines, np.float64).reshape(-1, 1 + len(SUMS))
    return {
        "image": np.full(len(table), about["image"], np.int64),
        "label": np.full(len(table), about["label"], np.int64),
        "area": np.full(len(table), about["area"], np.float64),
        "part": np.array(names, object),
        "bin": table[:, 0].astype(np.int64),
        **{name: table[:, 1 + place] for place, name in enumerate(SUMS)},
    }


def _nothing() -> Columns:
    nothing = np.zeros(0)
    return of_windows({"image": 0, "label": 0, "area": 0}, nothing, nothing.astype(np.int64), {})


def parts(analysis: Analysis) -> list[str]:
    """What all rows have to say, and what only some have."""
    every = [one for row in analysis.rows for table in row.tables for one in table["part"]]
    return list(dict.fromkeys(every))


def quantities(analysis: Analysis) -> list[Quantity]:
    """Correlations and ranges by group, then every bin's means and deviations."""
    found = []
    for part in parts(analysis):
        for group in analysis.groups.names():
            every = _lines(analysis, part, group, (0, BINS))
            moments = _sums("n", "x", "s", "xx", "ss", "xs")
            found.append(Quantity(PEARSON, part, group, every, moments, summary.pearson))
            for name, ends in (("low", (0, BINS // 2)), ("high", (BINS // 2, BINS))):
                lines = _lines(analysis, part, group, ends)
                what = "below 0.5" if name == "low" else "from 0.5"
                for title, term in ((SCORE, "s"), (BOX, "b")):
                    sums = _sums("n", term)
                    named = f"{title}, windows {what}"
                    found.append(Quantity(named, part, group, lines, sums, summary.mean))
    for part in parts(analysis):
        for group in analysis.groups.names():
            found += _of_bins(analysis, part, group)
    return found


def _of_bins(analysis: Analysis, part: str, group: str) -> list[Quantity]:
    found = []
    for place in range(BINS):
        lines = _lines(analysis, part, group, (place, place + 1))
        for title, one, square in ((SCORE, "s", "ss"), (BOX, "b", "bb")):
            mean = Quantity(
                *(bin_name(title, place), part, group, lines, _sums("n", one), summary.mean),
                detail=True,
            )
            deviation = Quantity(
                *(f"deviation of {bin_name(title, place)}", part, group, lines),
                *(_sums("n", one, square), summary.deviation),
                differs=False,
                detail=True,
            )
            found += [mean, deviation]
    return found


def bin_name(title: str, place: int) -> str:
    """A quantity of one bin."""
    return f"{title} at {place / BINS:.2f} to {(place + 1) / BINS:.2f}"


def _lines(analysis: Analysis, part: str, group: str, ends: tuple[int, int]) -> summary.Lines:
    def lines(table: Columns) -> Flags:
        within = (table["bin"] >= ends[0]) & (table["bin"] < ends[1])
        chosen: Flags = analysis.groups.lines(group, table) & within & (table["part"] == part)
        return chosen

    return lines


def _sums(*names: str) -> Sums:
    return lambda table: np.stack([table[name] for name in names], axis=-1)


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """Score and regressed IoU over the windows' IoU, by size and by difficulty, with deviations."""
    xs = [(place + 0.5) / BINS for place in range(BINS)]
    known = analysis.groups.names()
    shown = [*("all", *SIZES), None, *(THIRDS if THIRDS[0] in known else [None] * 3)]
    curves = [
        None if group is None else drawing.Curve(f"{group}: {short}", group, _names(title))
        for title, short in ((SCORE, "score"), (BOX, "box IoU"))
        for group in shown
    ]
    note = f"{words[1]} Over the windows' IoU with the object; shaded: standard deviation."
    return drawing.lines_of_parts(
        analysis, numbers, (xs, curves), parts(analysis), (words[0], note)
    )


def _names(title: str) -> list[str]:
    return [bin_name(title, place) for place in range(BINS)]


def unfit(detector: Detector) -> str:
    """Windows are asked of the heads of two-stage detectors."""
    if detector.skeleton == "roi":
        return ""
    return "it has no heads that take a region: windows need a two-stage detector"


KIND = Kind(
    name="sliding-window",
    title="Windows of known IoU through the heads",
    figures="Double-Head 2, 3 (left) and 7",
    needs="weights",
    measure=measure,
    quantities=quantities,
    draw=draw,
    settings=(
        Setting("windows", 14_000, 20, 1_000_000, f"around each object, alike in {BINS} bins"),
    ),
    unfit=unfit,
    explain="Windows are cut to the image. As read at test: scores and boxes as the detector's "
    "readout has them, rounds and fused scores included; heads alone where both do both tasks.",
)
