"""What stands in a scene of the embedded data set, before anything is drawn."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from operator import mul

from detbench.data.draws import Draws
from detbench.data.shapes_draw import COSINES, DIRECTIONS, SINES, Colour, Part
from detbench.data.shapes_variants import CATEGORIES, CONTEXTS, OUTLINES, TEXTURES, Variant

_HUES: tuple[Colour, ...] = (
    (214, 56, 48),
    (46, 160, 67),
    (52, 96, 214),
    (236, 190, 40),
    (150, 64, 196),
    (40, 178, 190),
    (240, 128, 36),
    (222, 84, 156),
    (140, 100, 60),
    (130, 190, 50),
    (70, 70, 80),
    (225, 225, 220),
)


@dataclass(frozen=True)
class Thing:
    """An object or a distractor.

    Attributes:
        parts: from back to front; the last one is what an object's box surrounds.
        label: index into ``CATEGORIES``; none for a distractor.
    """

    parts: tuple[Part, ...]
    label: int | None

    @property
    def body(self) -> Part:
        return self.parts[-1]


@dataclass
class Plan:
    """A scene: ``things`` from back to front on a background of mean colour ``base``."""

    base: Colour
    cells: int
    things: list[Thing] = field(default_factory=list)


def plan(draws: Draws, size: int, variant: Variant) -> Plan:
    """Decide what a scene of ``size`` x ``size`` pixels holds."""
    grey = 72 + draws.integer(120)
    base = _rgb(tuple(grey + draws.integer(81) - 40 for _ in range(3)))
    scene = Plan(base, cells=2 + draws.integer(5))
    painter = _Planner(draws, size, variant, base)
    low, high = variant.objects
    objects = list(painter.objects(low + draws.integer(high - low + 1)))
    # Smaller things tend to be in front, or large ones would hide most of them.
    objects.sort(key=lambda thing: -thing.body.radius * draws.between(0.5, 2.0))
    behind = [*painter.patches(), *painter.empties(objects), *painter.strokes(objects)]
    scene.things = [*behind, *objects]
    if variant.covers:
        scene.things += list(painter.covers(objects))
    if variant.strokes > 1:
        scene.things += list(painter.strokes(objects))[:1]
    return scene


@dataclass(frozen=True)
class _Spot:
    """Where an object stands; ``reach`` is the radius with its context."""

    x: float
    y: float
    radius: float
    reach: float
    disc: bool

    def clear_of(self, other: _Spot, closeness: float) -> bool:
        """Whether both may be there."""
        dx, dy = self.x - other.x, self.y - other.y
        square = dx * dx + dy * dy
        if self.disc or other.disc:  # a context is only one if nothing else stands in it
            return square >= (0.8 * (self.reach + other.reach)) ** 2
        if min(self.radius, other.radius) < 0.3 * max(self.radius, other.radius):
            return True
        return square >= (closeness * (self.radius + other.radius)) ** 2


class _Planner:
    """The draws of one scene and what they must respect."""

    def __init__(self, draws: Draws, size: int, variant: Variant, base: Colour) -> None:
        self.draws = draws
        self.size = size
        self.unit = size / 512.0
        self.variant = variant
        self.base = base

    def objects(self, count: int) -> Iterator[Thing]:
        """Up to ``count`` objects; one that finds no room in eight tries is left out."""
        taken: list[_Spot] = []
        for _ in range(count):
            label = self.draws.integer(len(CATEGORIES))
            spot = self._free_spot(label, taken)
            if spot is not None:
                taken.append(spot)
                yield self._disc(label, spot) if spot.disc else self._object(label, spot)

    def _direction(self) -> int:
        """Rotation of an object in 1/64 turns: any, or near upright."""
        tilt = self.variant.tilt
        if 2 * tilt >= DIRECTIONS:
            return self.draws.integer(DIRECTIONS)
        return (self.draws.integer(2 * tilt + 1) - tilt) % DIRECTIONS

    def _free_spot(self, label: int, taken: list[_Spot]) -> _Spot | None:
        radius = self._radius(label)
        disc = label >= 9
        # Where a disc may be does not depend on its context, or its place would betray it.
        reach, inside = (_CONTEXT * radius, 0.8) if disc else (radius, self.variant.inside)
        for _ in range(8):
            x, y = self._place(reach, inside)
            spot = _Spot(x, y, radius, reach, disc)
            if all(spot.clear_of(other, self.variant.closeness) for other in taken):
                return spot
        return None

    def _radius(self, label: int) -> float:
        low, high = self._diameters(label)
        # Log-uniform between the bounds: as many per octave everywhere.
        steps = max(1, bisect(_POWERS, high / low) - 1)
        diameter = low * _POWERS[self.draws.integer(steps)] * self.draws.between(1.0, _STEP)
        return max(3.0, 0.5 * self.unit * diameter)

    def _diameters(self, label: int) -> tuple[float, float]:
        if label < 6:
            return self.variant.outline
        return self.variant.texture if label < 9 else self.variant.disc

    def _place(self, radius: float, inside: float) -> tuple[float, float]:
        margin = min(inside * radius, 0.45 * self.size)
        draws = self.draws
        return draws.between(margin, self.size - margin), draws.between(margin, self.size - margin)

    def _object(self, label: int, spot: _Spot) -> Thing:
        draws, variant = self.draws, self.variant
        by_outline = label < len(OUTLINES)
        part = Part(
            outline=OUTLINES[label] if by_outline else "square",
            texture=draws.choice(variant.surfaces) if by_outline else TEXTURES[label - 6],
            x=spot.x,
            y=spot.y,
            radius=spot.radius,
            direction=self._direction(),
            aspect=draws.between(variant.squeeze, 1.0),
            colours=self._colours(self._hue(label)),
            cycles=float(3 + draws.integer(3)) if spot.radius > 24 * self.unit else 3.0,
            rim=draws.chance(variant.rim) or spot.radius < _TINY * self.unit,
        )
        return Thing((part,), label)

    def _disc(self, label: int, spot: _Spot) -> Thing:
        """A disc, looking the same whatever its context, and its context behind it."""
        draws = self.draws
        direction = draws.integer(DIRECTIONS)
        body = Part(
            outline="disc",
            texture=draws.choice(("plain", "gradient")),
            x=spot.x,
            y=spot.y,
            radius=spot.radius,
            direction=direction,
            aspect=1.0,
            colours=self._colours(self._hue(label)),
            rim=draws.chance(self.variant.rim) or spot.radius < _TINY * self.unit,
        )
        mark = _MARKS[CONTEXTS[label - 9]]
        if mark is None:
            return Thing((body,), label)
        around = Part(
            mark, "plain", spot.x, spot.y, spot.reach, direction, 1.0, self._colours(None)
        )
        return Thing((around, body), label)

    # --- distractors ----

    def empties(self, objects: list[Thing]) -> Iterator[Thing]:
        """Frames without a disc, and stems without one."""
        for _ in range(self.draws.integer(self.variant.empties + 1)):
            radius = _CONTEXT * 0.5 * self.unit * self.draws.between(*self.variant.disc)
            part = self._distractor(self.draws.choice(("frame", "stem")), radius)
            yield from self._unless_near(part, objects)

    def strokes(self, objects: list[Thing]) -> Iterator[Thing]:
        """Thin lines and arcs."""
        for _ in range(self.draws.integer(self.variant.strokes + 1)):
            radius = max(4.0, self.unit * self.draws.between(16.0, 90.0))
            part = self._distractor(self.draws.choice(("stroke", "stroke", "arc")), radius)
            yield from self._unless_near(part, objects)

    def patches(self) -> Iterator[Thing]:
        """Faint textured areas."""
        for _ in range(self.draws.integer(self.variant.patches + 1)):
            draws = self.draws
            part = Part(
                outline=draws.choice(("disc", "square")),
                texture=draws.choice(("gradient", *TEXTURES)),
                x=draws.between(0.0, self.size),
                y=draws.between(0.0, self.size),
                radius=self.unit * draws.between(40.0, 130.0),
                direction=draws.integer(DIRECTIONS),
                aspect=draws.between(0.4, 1.0),
                colours=self._colours(None),
                cycles=float(3 + draws.integer(8)),
                opacity=draws.between(0.1, 0.4),
            )
            yield Thing((part,), None)

    def covers(self, objects: list[Thing]) -> Iterator[Thing]:
        """Opaque patches in the background's colours, each over a part of an object."""
        draws = self.draws
        for _ in range(draws.integer(self.variant.covers + 1) if objects else 0):
            body = draws.choice(objects).body
            radius = body.radius * draws.between(*self.variant.breadth)
            turn, away = draws.integer(DIRECTIONS), draws.between(0.3, 1.0) * body.radius
            part = Part(
                outline=draws.choice(("disc", "square")),
                texture="gradient",
                x=body.x + away * COSINES[turn],
                y=body.y + away * SINES[turn],
                radius=radius,
                direction=draws.integer(DIRECTIONS),
                aspect=draws.between(0.4, 1.0),
                colours=self._ground_colours(),
            )
            yield Thing((part,), None)

    def _ground_colours(self) -> tuple[Colour, Colour]:
        """Two colours near the background's."""
        near = (c + self.draws.integer(81) - 40 for c in self.base)
        first = tuple(min(255, max(0, c)) for c in near)
        return _rgb(first), _rgb(_towards(first, 0 if _luma(first) > 120 else 255, 2))

    def _distractor(self, outline: str, radius: float) -> Part:
        x, y = self._place(radius, 0.2)
        direction = self.draws.integer(DIRECTIONS)
        return Part(outline, "plain", x, y, radius, direction, 1.0, self._colours(None))

    def _unless_near(self, part: Part, objects: list[Thing]) -> Iterator[Thing]:
        """``part`` as a distractor, unless it could be taken for the context of a disc."""
        for other in objects:
            dx, dy = part.x - other.body.x, part.y - other.body.y
            near = part.radius + 1.3 * other.body.radius
            if _is_disc(other) and dx * dx + dy * dy < near * near:
                return
        yield Thing((part,), None)

    # --- colours ----

    def _hue(self, label: int) -> int:
        """Which hue an object may own: discs share theirs, or it would tell their context."""
        if self.variant.hues == "classes":
            return min(label, 9)
        return min(label, 6) if label < 9 else 7

    def _colours(self, family: int | None) -> tuple[Colour, Colour]:
        """A colour that stands out from the background, and a second that stands out from it."""
        draws = self.draws
        hue = draws.choice(_HUES)
        if family is not None and draws.chance(self.variant.hue):
            hue = _HUES[family]
        shift = draws.integer(49**3)
        shifts = (shift % 49 - 24, shift // 49 % 49 - 24, shift // 2401 - 24)
        first = tuple(min(255, max(0, c + s)) for c, s in zip(hue, shifts, strict=True))
        luma, ground = _luma(first), _luma(self.base)
        if abs(luma - ground) < 56:
            first = _towards(first, 0 if ground > 110 else 255, 3)
        second = _towards(first, 0 if _luma(first) > 120 else 255, 5)
        return _rgb(first), _rgb(second)


_CONTEXT = 3.2  # the reach of a frame or a stem, in radii of its disc
_TINY = 16.0  # radius below which an edge is always drawn, or some could not be seen
_MARKS = {"alone": None, "framed": "frame", "stemmed": "stem"}

# A factor of 20 in 48 equal steps, by multiplication alone: powers are not exact everywhere.
_STEP = 1.0644
_POWERS = tuple(accumulate(repeat(_STEP, 48), mul, initial=1.0))


def _is_disc(thing: Thing) -> bool:
    return thing.label is not None and thing.label >= 9


def _luma(colour: tuple[int, ...]) -> int:
    return (77 * colour[0] + 150 * colour[1] + 29 * colour[2]) >> 8


def _towards(colour: tuple[int, ...], target: int, eighths: int) -> tuple[int, ...]:
    return tuple(c + (target - c) * eighths // 8 for c in colour)


def _rgb(colour: tuple[int, ...]) -> Colour:
    red, green, blue = colour
    return red, green, blue
