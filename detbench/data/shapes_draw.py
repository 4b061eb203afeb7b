"""Drawing for the embedded data set: outlines, textures, background.

Pixels must be the same on every machine, bit for bit. So: single IEEE operations (+ - * / sqrt,
comparisons) in float32, each its own numpy call so that no compiler fuses two of them; no sums
whose order could differ, but of integers small enough to be exact; no trigonometry but a table
rounded far more coarsely than libraries differ.

Frame: x to the right, y down; pixel (i, j) covers [j, j+1) x [i, i+1). A part's own frame (u, v)
has its origin at the part's centre and is rotated; lengths stay pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detbench.data.draws import Draws

Plane = NDArray[np.float32]
Colour = tuple[int, int, int]

DIRECTIONS = 64
COSINES = tuple(round(math.cos(2 * math.pi * k / DIRECTIONS) * 1024) / 1024 for k in range(64))
SINES = tuple(round(math.sin(2 * math.pi * k / DIRECTIONS) * 1024) / 1024 for k in range(64))


@dataclass(frozen=True)
class Part:
    """One thing to draw.

    Attributes:
        outline: a name of ``_OUTLINES``.
        texture: ``plain`` or a name of ``_TEXTURES``.
        x, y: centre in pixels.
        radius: every outline lies within this distance of the centre (``stroke`` and ``bar`` too).
        direction: rotation in 1/64 turns.
        aspect: the outline is squeezed to this fraction along v, in (0, 1].
        colours: the texture goes from the first to the second, RGB.
        cycles: periods of the texture over the diameter.
        opacity: 1 is opaque.
        rim: draw a dark edge.
    """

    outline: str
    texture: str
    x: float
    y: float
    radius: float
    direction: int
    aspect: float
    colours: tuple[Colour, Colour]
    cycles: float = 3.0
    opacity: float = 1.0
    rim: bool = False


@dataclass(frozen=True)
class Coverage:
    """Where a part lies in the image: a window and, inside it, (h, w) planes.

    Attributes:
        left, top, right, bottom: the window, whole pixels, inside the image; may be empty.
        u, v: the part's own coordinates.
        distance: to the outline in pixels, negative inside.
        alpha: fraction of the pixel that is covered, in [0, 1].
    """

    left: int
    top: int
    right: int
    bottom: int
    u: Plane
    v: Plane
    distance: Plane
    alpha: Plane

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def cover(part: Part, size: int) -> Coverage:
    """Find the pixels of a ``size`` x ``size`` image that ``part`` covers."""
    reach = part.radius + 1.5
    left, right = max(0, int(part.x - reach)), min(size, int(part.x + reach) + 1)
    top, bottom = max(0, int(part.y - reach)), min(size, int(part.y + reach) + 1)
    right, bottom = max(right, left), max(bottom, top)
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - part.x)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - part.y)
    cosine, sine = COSINES[part.direction], SINES[part.direction]
    u = x * cosine + y * sine
    v = y * (cosine / part.aspect) - x * (sine / part.aspect)
    distance = _OUTLINES[part.outline](u, v, part.radius)
    alpha = np.minimum(np.maximum(0.5 - distance, 0.0), 1.0)
    return Coverage(left, top, right, bottom, u, v, distance, alpha)


def paint(image: Plane, part: Part, coverage: Coverage) -> None:
    """Draw ``part`` over ``image``, (3, size, size) in [0, 255], in place."""
    first, second = (np.array(c, np.float32)[:, None, None] for c in part.colours)
    alpha = coverage.alpha if part.opacity == 1.0 else coverage.alpha * part.opacity
    below = image[:, coverage.top : coverage.bottom, coverage.left : coverage.right]
    if part.texture == "plain":
        layer = first
    else:
        mix = _TEXTURES[part.texture](coverage.u, coverage.v, part.radius, part.cycles)
        layer = mix * (second - first) + first
    if part.rim:
        width = max(1.0, 0.12 * part.radius)
        layer = layer * np.minimum(np.maximum(coverage.distance * (-1.0 / width), 0.35), 1.0)
    below += alpha * (layer - below)


# --- outlines: distance to the outline, negative inside; (u, v) and the radius in pixels ----


def _length(u: Plane, v: Plane) -> Plane:
    length: Plane = np.sqrt(u * u + v * v)
    return length


def _disc(u: Plane, v: Plane, radius: float) -> Plane:
    return _length(u, v) - radius


def _box(u: Plane, v: Plane, half_u: float, half_v: float) -> Plane:
    return np.maximum(np.abs(u) - half_u, np.abs(v) - half_v)


def _square(u: Plane, v: Plane, radius: float) -> Plane:
    return _box(u, v, 0.7 * radius, 0.7 * radius)


def _ring(u: Plane, v: Plane, radius: float) -> Plane:
    return np.abs(_length(u, v) - 0.76 * radius) - 0.24 * radius


def _cross(u: Plane, v: Plane, radius: float) -> Plane:
    across, along = 0.28 * radius, 0.95 * radius
    return np.minimum(_box(u, v, across, along), _box(u, v, along, across))


def _half_planes(u: Plane, v: Plane, radius: float, directions: tuple[int, ...]) -> Plane:
    """Distances (n, h, w) to n lines at ``radius`` from the centre."""
    return np.stack([u * COSINES[k] + v * SINES[k] - radius for k in directions])


def _triangle(u: Plane, v: Plane, radius: float) -> Plane:
    # Not quite 120 degrees apart, as 64 is no multiple of 3; nobody sees it.
    return _half_planes(u, v, 0.48 * radius, (0, 21, 43)).max(axis=0)


def _star(u: Plane, v: Plane, radius: float) -> Plane:
    # A point is in a pentagram where at most one of its five lines has it outside.
    lines = _half_planes(u, v, 0.31 * radius, (0, 13, 26, 38, 51))
    lines.partition(3, axis=0)
    return np.maximum(lines[3], _disc(u, v, radius))


def _crescent(u: Plane, v: Plane, radius: float) -> Plane:
    return np.maximum(_disc(u, v, 0.97 * radius), 0.8 * radius - _disc(u - 0.5 * radius, v, 0.0))


def _arrow(u: Plane, v: Plane, radius: float) -> Plane:
    """A shaft along u and a head at positive u."""
    shaft = _box(u + 0.45 * radius, v, 0.5 * radius, 0.2 * radius)
    slope = np.abs(v) * 0.75 + u * 0.66
    head = np.maximum(slope - 0.62 * radius, -0.02 * radius - u)
    return np.minimum(shaft, head)


def _frame(u: Plane, v: Plane, radius: float) -> Plane:
    """An empty square frame."""
    edge: Plane = np.abs(_box(u, v, 0.62 * radius, 0.62 * radius))
    return edge - 0.08 * radius


def _stem(u: Plane, v: Plane, radius: float) -> Plane:
    """A bar from the centre to the edge of the circle, along u."""
    return _box(u - 0.49 * radius, v, 0.49 * radius, 0.09 * radius)


def _stroke(u: Plane, v: Plane, radius: float) -> Plane:
    """A thin line through the centre."""
    return _box(u, v, 0.98 * radius, max(0.5, 0.03 * radius))


def _arc(u: Plane, v: Plane, radius: float) -> Plane:
    """A thin half circle."""
    edge = max(0.5, 0.03 * radius)
    return np.maximum(np.abs(_length(u, v) - 0.95 * radius) - edge, u)


_OUTLINES = {
    "disc": _disc,
    "square": _square,
    "ring": _ring,
    "cross": _cross,
    "triangle": _triangle,
    "star": _star,
    "crescent": _crescent,
    "arrow": _arrow,
    "frame": _frame,
    "stem": _stem,
    "stroke": _stroke,
    "arc": _arc,
}

# --- textures: a number in [0, 1] per pixel that mixes the two colours ----


def _wave(x: Plane, period: float) -> Plane:
    """A triangle wave of ``period`` pixels: distance in pixels to the nearest edge of its bands.

    Positive in one half of each period, negative in the other.
    """
    phase = x * (1.0 / period)
    phase -= np.floor(phase)
    phase -= 0.5
    return (np.abs(phase) - 0.25) * period


def _step(x: Plane) -> Plane:
    """An edge softened over one pixel."""
    return np.minimum(np.maximum(x + 0.5, 0.0), 1.0)


def _gradient(u: Plane, v: Plane, radius: float, cycles: float) -> Plane:
    return np.minimum(np.maximum(u * (0.5 / radius) + 0.5, 0.0), 1.0)


def _stripes(u: Plane, v: Plane, radius: float, cycles: float) -> Plane:
    return _step(_wave(u, 2.0 * radius / cycles))


def _checks(u: Plane, v: Plane, radius: float, cycles: float) -> Plane:
    period = 2.0 * radius / cycles
    return _step(_wave(u, period) * _wave(v, period) * (8.0 / period))


def _dots(u: Plane, v: Plane, radius: float, cycles: float) -> Plane:
    period = 2.0 * radius / cycles
    x, y = u * (1.0 / period), v * (1.0 / period)
    x -= np.floor(x)
    y -= np.floor(y)
    x -= 0.5
    y -= 0.5
    return _step((0.32 - np.sqrt(x * x + y * y)) * period)


_TEXTURES = {
    "gradient": _gradient,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
}

# --- background ----

_FINE = 64  # steps between two points of the coarse grid


def _interpolation(size: int, points: int) -> Plane:
    """Weights (size, points), whole numbers that sum to ``_FINE``: linear between grid points."""
    steps = (np.arange(size) * ((points - 1) * _FINE)) // size
    cell, rest = steps // _FINE, steps % _FINE
    weights = np.zeros((size, points), np.float32)
    rows = np.arange(size)
    weights[rows, cell] = _FINE - rest
    weights[rows, cell + 1] += rest
    return weights


def background(draws: Draws, size: int, base: Colour, swing: int, cells: int) -> Plane:
    """Smooth random light and a little less random colour, (3, size, size) in [0, 255].

    Args:
        draws: where the randomness comes from.
        size: side in pixels.
        base: mean colour.
        swing: largest deviation of brightness from it; that of each channel is a quarter more.
        cells: of the coarse grid, per side.
    """
    import torch  # where pixels are drawn, not where boxes are read

    points = (cells + 1) ** 2
    bits = draws.bytes(4 * points).astype(np.int64).reshape(4, cells + 1, cells + 1) - 128
    grid = np.array(base, np.int64)[:, None, None] + (bits[:1] * 4 + bits[1:]) * swing // 512
    grid = np.minimum(np.maximum(grid, 0), 255).astype(np.float32)
    weights = torch.from_numpy(_interpolation(size, cells + 1))
    # Whole numbers below 2^24: exact in float32 in whatever order they are added up. By torch,
    # since numpy's product takes every processor, in each of the processes that load data.
    smooth: Plane = ((weights @ torch.from_numpy(grid)) @ weights.T).numpy()
    smooth *= 1.0 / _FINE**2
    return smooth


def finish(image: Plane, draws: Draws, grain: int) -> NDArray[np.uint8]:
    """Add grain of at most ``grain`` grey levels and round to bytes; same shape."""
    if grain:
        noise = draws.bytes(image.size).astype(np.float32).reshape(image.shape)
        noise -= 127.5
        noise *= grain / 127.5
        image += noise
    np.minimum(np.maximum(image, 0.0, out=image), 255.0, out=image)
    return image.astype(np.uint8)
