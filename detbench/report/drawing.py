"""Boxes drawn on images, with labels that do not cover each other. Pillow; no torch.

Colours are Okabe and Ito's, which the colour-blind can tell apart; every line has a dark edge, so
that it shows on any image, and what a colour says is written too. Small images are enlarged.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from detbench.data.segmentations import Placed
from detbench.report.letters import font_file, known
from detbench.report.shading import shaded
from detbench.results.files import write_atomic

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
Rectangle = tuple[int, int, int, int]

ORANGE, SKY, GREEN = (230, 159, 0), (86, 180, 233), (0, 158, 115)
YELLOW, BLUE, VERMILION, PURPLE = (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)
COLOURS: tuple[Colour, ...] = (ORANGE, SKY, GREEN, YELLOW, VERMILION, PURPLE, BLUE)
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (90, 90, 90)
TEXT = 15
GAP = 12
LARGEST = 1600
"""Longest side in pixels of an image in a picture."""


@dataclass(frozen=True)
class Mark:
    """A box to draw.

    Attributes:
        box: xyxy, in pixels of the image.
        colour: of line and label.
        text: of the label; empty for none.
        width: of the line, in pixels of the picture.
        dash: length of dashes; 0 is a solid line.
    """

    box: Box
    colour: Colour
    text: str = ""
    width: int = 3
    dash: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", letters(self.text))


@dataclass(frozen=True)
class Line:
    """A line of a legend: a piece of line as a mark has it, and words; no colour is no piece."""

    text: str
    colour: Colour | None = None
    dash: int = 0


def palette(labels: Iterable[int]) -> dict[int, Colour]:
    """A colour for each class; every seventh has the same, so its name is to be written too."""
    return {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(labels)}


@cache
def font(size: int = TEXT, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    return ImageFont.truetype(font_file(bold), size)


def letters(text: str) -> str:
    r"""What of a text can be drawn: without control characters, and with those that the font lacks
    (Chinese, Japanese, Korean, emoji) as in ``\u732b``, which a reader can look up.
    """
    return "".join(
        each if each in known() else each.encode("unicode_escape").decode()
        for each in text
        if each.isprintable()
    )


def factor(width: int, height: int, side: int = 640, largest: int = LARGEST) -> float:
    """By how much to enlarge an image, or shrink a very large one.

    Args:
        side: small images become about this long, by a whole factor.
    """
    long = max(width, height)
    return largest / long if long > largest else float(max(1, side // long))


def resized(image: NDArray[np.uint8], scale: float) -> Image.Image:
    """An image, (H, W, 3), RGB, as a picture."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    if scale == 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    # Pixels of a little image stay to be seen.
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def annotated(
    image: NDArray[np.uint8],
    marks: Sequence[Mark],
    scale: float,
    masks: Sequence[tuple[Placed, Colour]] = (),
) -> tuple[Image.Image, int]:
    """An image with boxes and labels.

    Args:
        image: (H, W, 3), uint8, RGB.
        marks: most important first: they are drawn on top and get their labels first.
        scale: as of ``factor``.
        masks: laid below the boxes, most important first.

    Returns:
        The picture, and how many labels found no place.
    """
    picture = shaded(resized(image, scale), masks, scale)
    draw = ImageDraw.Draw(picture)
    boxes = [_scaled(mark.box, scale, picture.size) for mark in marks]
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        outline(draw, box, mark)
    placed: list[Rectangle] = []
    left_out = 0
    for mark, box in zip(marks, boxes, strict=True):
        if not mark.text:
            continue
        spot = _spot(_extent(mark.text), box, picture.size, placed)
        if spot is None:
            left_out += 1
            continue
        placed.append(spot)
        draw.rectangle(spot, fill=mark.colour, outline=BLACK)
        draw.text((spot[0] + 3, spot[1] + 1), mark.text, fill=_ink(mark.colour), font=font())
    return picture, left_out


def _scaled(box: Box, scale: float, size: tuple[int, int]) -> Rectangle:
    """A box in whole pixels of the picture, inside it."""
    right, bottom = size[0] - 1, size[1] - 1
    x0, y0, x1, y1 = (round(edge * scale) for edge in box)
    x0, y0 = min(max(x0, 0), right), min(max(y0, 0), bottom)
    return x0, y0, min(max(x1 - 1, x0), right), min(max(y1 - 1, y0), bottom)


def outline(draw: ImageDraw.ImageDraw, box: Rectangle, mark: Mark) -> None:
    """Draw a box's line inside its edges, between two dark hairlines."""
    x0, y0, x1, y1 = box
    inset = mark.width
    for grown in (-1, inset):
        ring = (x0 + grown, y0 + grown, x1 - grown, y1 - grown)
        if ring[2] > ring[0] and ring[3] > ring[1]:
            draw.rectangle(ring, outline=BLACK)
    if not mark.dash:
        draw.rectangle(box, outline=mark.colour, width=mark.width)
        return
    draw.rectangle(box, outline=BLACK, width=mark.width)
    step = 2 * mark.dash
    for x in range(x0, x1 + 1, step):
        end = min(x + mark.dash, x1)
        draw.rectangle((x, y0, end, min(y0 + inset - 1, y1)), fill=mark.colour)
        draw.rectangle((x, max(y1 - inset + 1, y0), end, y1), fill=mark.colour)
    for y in range(y0, y1 + 1, step):
        end = min(y + mark.dash, y1)
        draw.rectangle((x0, y, min(x0 + inset - 1, x1), end), fill=mark.colour)
        draw.rectangle((max(x1 - inset + 1, x0), y, x1, end), fill=mark.colour)


def _extent(text: str) -> tuple[int, int]:
    """Width and height of a label."""
    return int(font().getlength(text)) + 6, TEXT + 5


def _spot(
    extent: tuple[int, int], box: Rectangle, size: tuple[int, int], placed: Sequence[Rectangle]
) -> Rectangle | None:
    """Where a label fits: at a corner of its box, else along its sides; none if nowhere."""
    width, height = extent
    x0, y0, x1, y1 = box
    corners = [
        (x0, y0 - height),
        (x1 - width, y0 - height),
        (x0, y1 + 1),
        (x1 - width, y1 + 1),
        (x0, y0),
        (x1 - width, y0),
        (x0, y1 - height),
        (x1 - width, y1 - height),
        (x1 + 1, y0),
        (x0 - width - 1, y0),
    ]
    sides = [(x, y) for y in range(y0, y1 - height, height // 2) for x in (x0, x1 + 1, x0 - width)]
    for x, y in [*corners, *islice(sides, 200)]:
        # A label wider than its box may hang over the edge of the image: push it back.
        x = min(max(x, 0), size[0] - 1 - width)
        spot = (x, y, x + width, y + height)
        if x >= 0 <= y and spot[3] < size[1] and not any(_overlap(spot, other) for other in placed):
            return spot
    return None


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _ink(background: Colour) -> Colour:
    """Black or white, whichever can be read."""
    red, green, blue = background
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else WHITE


def panel(picture: Image.Image, title: str, legend: Sequence[Line] = ()) -> Image.Image:
    """A picture with a title above and a legend below it, wrapped to its width."""
    heads = wrap(title, picture.width, bold=True)
    tails = [
        Line(text, None if number else line.colour, line.dash)
        for line in legend
        for number, text in enumerate(wrap(line.text, picture.width - 34))
    ]
    step = TEXT + 5
    above, below = step * len(heads) + 4 if title else 0, step * len(tails) + (4 if tails else 0)
    whole = Image.new("RGB", (picture.width, above + picture.height + below), WHITE)
    draw = ImageDraw.Draw(whole)
    for row, text in enumerate(heads):
        draw.text((0, row * step), text, fill=BLACK, font=font(bold=True))
    whole.paste(picture, (0, above))
    indent = 34 if any(line.colour for line in legend) else 0
    for row, line in enumerate(tails):
        y = above + picture.height + 4 + row * step
        if line.colour:
            _sample(draw, y + step // 2, line.colour, line.dash)
        draw.text((indent, y), line.text, fill=BLACK, font=font())
    return whole


def _sample(draw: ImageDraw.ImageDraw, y: int, shade: Colour, dash: int) -> None:
    """A piece of line, 28 pixels long, as a legend shows it."""
    draw.rectangle((0, y - 4, 28, y + 1), fill=BLACK)
    for x in range(1, 28, 2 * dash or 28):
        draw.rectangle((x, y - 3, min(x + (dash or 26), 27), y), fill=shade)


def wrap(text: str, width: int, bold: bool = False) -> list[str]:
    """Words broken into lines of ``width`` pixels; a longer word stands alone."""
    lines: list[str] = []
    for word in map(letters, text.split()):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(bold=bold).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def grid(panels: Sequence[Image.Image], columns: int, title: str = "") -> Image.Image:
    """Panels in rows from the left, with white between, under a title.

    Args:
        panels: at least one, of any sizes; a row is as high as its highest.
    """
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    widths = [
        max(row[column].width for row in rows if column < len(row))
        for column in range(min(columns, len(panels)))
    ]
    width = sum(widths) + GAP * (len(widths) + 1)
    heads = wrap(title, width - 2 * GAP)
    top = GAP + (TEXT + 5) * len(heads) + (GAP // 2 if heads else 0)
    height = top + sum(max(one.height for one in row) + GAP for row in rows)
    whole = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(whole)
    for number, text in enumerate(heads):
        draw.text((GAP, GAP + number * (TEXT + 5)), text, fill=GREY, font=font())
    y = top
    for row in rows:
        x = GAP
        for one, column in zip(row, widths, strict=False):
            whole.paste(one, (x, y))
            x += column + GAP
        y += max(one.height for one in row) + GAP
    return whole


def save(path: Path, picture: Image.Image) -> None:
    """Write a PNG, whole or not at all; equal pictures make equal bytes.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=False)
    write_atomic(path, content.getvalue())
