"""The classes of the embedded data set, and how crowded and how hard its scenes are.

Twelve classes of three families:

- six told apart by outline (triangle, star, cross, ring, crescent, arrow), of any texture;
- three told apart by texture alone: the same rectangle, striped, checked or dotted;
- three told apart by context alone: the same small disc by itself, inside a square frame, or at
  the end of a stem. Neither frame nor stem belongs to the box, and both also occur empty.

Lengths are for a scene of 512 pixels and scale with its size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from detbench.data.shapes_draw import DIRECTIONS

OUTLINES = ("triangle", "star", "cross", "ring", "crescent", "arrow")
TEXTURES = ("stripes", "checks", "dots")
CONTEXTS = ("alone", "framed", "stemmed")
CATEGORIES = (
    *OUTLINES,
    "striped square",
    "checked square",
    "dotted square",
    "free disc",
    "framed disc",
    "stemmed disc",
)

FAMILIES = {"outline": CATEGORIES[:6], "square": CATEGORIES[6:9], "disc": CATEGORIES[9:]}
"""What the classes of a family have in common, and which they are."""


@dataclass(frozen=True)
class Variant:
    """How crowded and how hard scenes are; lengths in pixels at a size of 512.

    Attributes:
        code: part of every scene's key.
        objects: fewest and most objects tried per scene.
        outline, texture, disc: smallest and largest diameter of each family.
        closeness: two objects' centres are no closer than this times the sum of their radii.
        inside: a centre is this many radii or more from the edge of the image.
        strokes, patches, empties: most distractors of each kind.
        surfaces: textures that outline classes and discs may have.
        squeeze: smallest aspect.
        rim: probability of a dark edge.
        swing, grain: deviation of the background's smooth colour, and pixel noise, in grey levels.
        hue: probability that an object has the hue of its family, or of its class (``hues``; the
            discs share one, or it would tell their context); otherwise colour says nothing.
        tilt: largest rotation of outlines and textures from upright, in 1/64 turns; 32 is any.
        covers: most opaque patches over parts of objects.
        visible: share of an object, and of its context, that must be seen;
        hidden: one with less is ``left out`` of the scene, or ``drawn``, and then annotated with
            the probability ``guessed``, as annotators know what is there from a glimpse or not.
        breadth: smallest and largest radius of a cover, in radii of what it covers.
        overlooked: probability that an object to be seen is not annotated.
        cropped: probability that an annotation surrounds only what is seen of an object.
    """

    code: int
    objects: tuple[int, int]
    outline: tuple[float, float]
    texture: tuple[float, float]
    disc: tuple[float, float]
    closeness: float
    inside: float
    strokes: int
    patches: int
    empties: int
    surfaces: tuple[str, ...]
    squeeze: float
    rim: float
    swing: int
    grain: int
    hue: float
    tilt: int = DIRECTIONS // 2
    covers: int = 0
    visible: float = 0.4
    hidden: Literal["left out", "drawn"] = "left out"
    breadth: tuple[float, float] = (0.5, 1.1)
    guessed: float = 0.0
    overlooked: float = 0.0
    cropped: float = 0.0
    hues: Literal["families", "classes"] = "families"


VARIANTS = {
    "full": Variant(
        code=0,
        objects=(4, 12),
        outline=(15.0, 300.0),
        texture=(24.0, 300.0),
        disc=(15.0, 100.0),
        closeness=0.5,
        inside=0.5,
        strokes=7,
        patches=4,
        empties=2,
        surfaces=("plain", "gradient", "gradient", *TEXTURES),
        squeeze=0.6,
        rim=0.4,
        swing=70,
        grain=22,
        hue=0.0,
    ),
    "easy": Variant(
        code=1,
        objects=(3, 5),
        outline=(88.0, 260.0),
        texture=(110.0, 260.0),
        disc=(48.0, 96.0),
        closeness=0.85,
        inside=1.0,
        strokes=1,
        patches=1,
        empties=1,
        surfaces=("plain", "gradient"),
        squeeze=0.85,
        rim=1.0,
        swing=24,
        grain=8,
        hue=0.85,
    ),
}

# Soon learnt by networks that train for minutes, and yet hard: outlines near upright and hues that
# mostly tell the class leave little to learn, but covers hide objects, and annotations disagree
# about what is there and how far it reaches, as people's do.
VARIANTS["covered"] = replace(
    VARIANTS["easy"],
    code=2,
    outline=(64.0, 280.0),
    texture=(80.0, 280.0),
    disc=(40.0, 100.0),
    closeness=0.6,
    inside=0.8,
    hue=0.9,
    hues="classes",
    tilt=6,
    covers=5,
    breadth=(0.7, 2.4),
    visible=0.2,
    hidden="drawn",
    guessed=0.8,
    overlooked=0.07,
    cropped=0.5,
)
