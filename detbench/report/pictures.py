"""What is drawn of one image: detections before and after NMS, the two tasks' competition, a sheet.

Everything takes plain arrays; no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detbench.evaluation.competition import Boxed, Candidate, Competition, survivors
from detbench.report import drawing
from detbench.report.drawing import BLUE, GREEN, ORANGE, PURPLE, WHITE, Line, Mark

Pixels = NDArray[np.uint8]
Colours = Mapping[int, drawing.Colour]

SCORED = (BLUE, ORANGE, PURPLE)
"""Colours of the best-scored boxes, best first, as far as three go."""
DASHES = (0, 10, 4)
TILE = 320
"""Side in pixels of an object's tile."""
ORDINALS = ("1st", "2nd", "3rd")


@dataclass(frozen=True)
class Objects:
    """Ground truth of an image.

    Attributes:
        boxed: all objects.
        crowd: (n,), which of them are crowds, or difficult ones on Pascal VOC.
        mark: what those are called.
    """

    boxed: Boxed
    crowd: NDArray[np.bool_]
    mark: str = "crowd"


def before_and_after(
    image: Pixels,
    before: Boxed,
    after: Boxed,
    names: Sequence[str],
    title: str,
    objects: Objects | None = None,
) -> Image.Image:
    """Ground truth if there is any, what goes into NMS and what comes out, side by side.

    Args:
        image: (H, W, 3), uint8, RGB.
        before, after: what is to be seen of them, best first; masks are drawn after NMS.
        names: of the classes.
    """
    scale = drawing.factor(image.shape[1], image.shape[0])
    seen = [before.labels] if objects is None else [before.labels, objects.boxed.labels]
    colours = drawing.palette(np.unique(np.concatenate(seen)).tolist())
    panels = [] if objects is None else [_truth(image, objects, names, scale, colours)]
    raw = [Mark(_box(box), colours[label], "", 2) for box, label in _rows(before)]
    picture, _ = drawing.annotated(image, raw, scale)
    panels.append(drawing.panel(picture, f"Before NMS: {_count(len(before))}"))
    marks = []
    for (box, label), score, many in zip(
        _rows(after), after.scores, survivors(before, after), strict=True
    ):
        text = f"{names[label]} {score:.2f}" + (f" of {many}" if many > 1 else "")
        marks.append(Mark(_box(box), colours[label], text))
    masks = [
        (mask, colours[label])
        for mask, label in zip(after.masks or (), after.labels.tolist(), strict=False)
    ]
    picture, left_out = drawing.annotated(image, marks, scale, masks)
    legend = [Line("class, score, and how many boxes it stands for")] if marks else []
    said = f"After NMS: {_count(len(after))}{_unlabelled(left_out)}"
    panels.append(drawing.panel(picture, said, legend))
    columns = len(panels) if image.shape[1] * scale < 1000 else 1
    return drawing.grid(panels, columns, title)


def _truth(
    image: Pixels, objects: Objects, names: Sequence[str], scale: float, colours: Colours
) -> Image.Image:
    picture, left_out = drawing.annotated(image, truth_marks(objects, names, colours), scale)
    count = int(np.count_nonzero(~objects.crowd))
    said = f"Ground truth: {count} object{'s' * (count != 1)}{_unlabelled(left_out)}"
    return drawing.panel(picture, said)


def truth_marks(
    objects: Objects, names: Sequence[str], colours: Colours, width: int = 3
) -> list[Mark]:
    """Small objects first, so that they stay visible on large ones; crowds dashed."""
    boxes = objects.boxed.boxes
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    marks = []
    for row in np.argsort(areas, kind="stable"):
        label, crowd = int(objects.boxed.labels[row]), bool(objects.crowd[row])
        text = f"{names[label]} ({objects.mark})" if crowd else names[label]
        dash = 6 if crowd else 0
        marks.append(Mark(_box(boxes[row]), colours[label], text, width, dash))
    return marks


def competition(
    image: Pixels, found: Sequence[Competition], names: Sequence[str], title: str, most: int = 24
) -> Image.Image:
    """A tile for each object: its best-placed box among its best-scored ones, before NMS.

    Args:
        image: (H, W, 3), uint8, RGB.
        found: at least one; the first ``most`` are drawn.
    """
    tiles = [_tile(image, one, names) for one in found[:most]]
    rest = len(found) - len(tiles)
    if rest:
        title += f"; {rest} more object{'s' * (rest != 1)} not shown"
    return drawing.grid(tiles, min(4, len(tiles)), title)


def _tile(image: Pixels, one: Competition, names: Sequence[str]) -> Image.Image:
    chosen: list[tuple[Candidate, str, drawing.Colour, int]] = []
    if one.best_iou is not None:
        chosen.append((one.best_iou, "best IoU", GREEN, 0))
    for rank, candidate in enumerate(one.best_scores):
        name = ORDINALS[rank] if rank < len(ORDINALS) else f"{rank + 1}th"
        colour, dash = SCORED[rank % len(SCORED)], DASHES[rank % len(DASHES)]
        chosen.append((candidate, f"{name} score", colour, dash))
    corners = np.array([one.box, *(candidate.box for candidate, *_ in chosen)])
    left, top, side_x, side_y = _window(corners, image.shape[1], image.shape[0])
    crop = image[top : top + side_y, left : left + side_x]
    scale = TILE / max(side_x, side_y)

    def moved(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return box[0] - left, box[1] - top, box[2] - left, box[3] - top

    marks = [Mark(moved(one.box), WHITE, "", 3)]
    marks += [Mark(moved(candidate.box), c, "", 3, dash) for candidate, _, c, dash in chosen]
    # The best-placed box and the best-scored one on top, the object below all.
    picture, _ = drawing.annotated(crop, [*marks[1:], marks[0]], scale)
    padded = Image.new("RGB", (TILE, TILE), drawing.GREY)
    padded.paste(picture, (0, 0))
    legend = [Line("object", WHITE)]
    for place, (candidate, name, c, dash) in enumerate(chosen):
        same = place and candidate == one.best_iou
        said = f"IoU {candidate.iou:.2f}, score {candidate.score:.2f}"
        legend.append(Line(f"{name}: {'the same box' if same else said}", c, dash))
    if not chosen:
        legend.append(Line("no box of its class claims it"))
    return drawing.panel(padded, f"{names[one.label]}: {_count(one.boxes)}", legend)


def _window(corners: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """A square around boxes, with a margin, cut to the image: left, top, width, height."""
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = int(np.ceil(1.3 * max(*(high - low), 8)))
    found = []
    for middle, size in zip((low + high) / 2, (width, height), strict=True):
        length = min(side, size)
        start = min(max(int(middle - length / 2), 0), size - length)
        found.append((start, length))
    (left, side_x), (top, side_y) = found
    return left, top, side_x, side_y


def sheet(
    images: Sequence[tuple[Pixels, Objects, str]], names: Sequence[str], title: str, columns: int
) -> Image.Image:
    """A contact sheet of images with their ground truth.

    Args:
        images: each with its objects and what to write above it; at least one.
        names: of the classes.
    """
    side = max(320, 1600 // columns)
    panels = []
    colours = drawing.palette(range(len(names)))
    for image, objects, name in images:
        long = max(image.shape[:2])
        scale = float(side // long) if side >= 2 * long else side / long
        picture, left_out = drawing.annotated(image, truth_marks(objects, names, colours, 2), scale)
        panels.append(drawing.panel(picture, f"{name}{_unlabelled(left_out)}"))
    return drawing.grid(panels, columns, title)


def _rows(boxed: Boxed) -> list[tuple[NDArray[np.float64], int]]:
    return list(zip(boxed.boxes, boxed.labels.tolist(), strict=True))


def _box(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(edge) for edge in box)
    return left, top, right, bottom


def _count(boxes: int) -> str:
    return f"{boxes} box{'es' * (boxes != 1)}" if boxes else "no box"


def _unlabelled(count: int) -> str:
    return f" ({count} without room for a label)" if count else ""
