"""Augmentation by names of ``torchvision.transforms.v2``: which there are, what they take.

No torch.

Each argument has bounds, so that a mistake is found when a recipe is read and not when it trains.
Left out are transforms of other things than images with boxes, of several images, those that need
functions, and what torchvision deprecates (JPEG). Interpolation is its default, padding of one
colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from detbench.recipe.base import Spec
from detbench.recipe.model import Fraction

LARGEST_SIDE = 2**14
"""Pixels of a side of what an argument may ask for."""


@dataclass(frozen=True)
class Takes:
    """What an argument takes.

    Attributes:
        least, most: of each number.
        counts: how many numbers; 1 is a number itself, others an array of so many.
        whole: they are whole numbers; ``odd``, odd ones.
        ordered: two of them are the ends of a range.
        alone: ``least`` of a single number, which is the range about a middle.
        required: it must be given.
    """

    least: float
    most: float
    counts: tuple[int, ...] = (1,)
    whole: bool = False
    odd: bool = False
    ordered: bool = True
    alone: float | None = None
    required: bool = False

    def problem(self, value: Any) -> str:
        """Why a value is none of them; else empty."""
        numbers = value if isinstance(value, list) else [value]
        counted = len(numbers) in self.counts and (len(numbers) != 1 or not isinstance(value, list))
        kinds = (int,) if self.whole else (int, float)
        if not counted or not all(type(one) in kinds for one in numbers):
            return f"takes {self.words}"
        alone = self.alone is not None and len(numbers) == 1
        least = self.alone if alone else self.least
        if not all(least <= one <= self.most for one in numbers):  # not a number, too
            return f"is from {least:g} to {self.most:g}"
        if self.odd and not all(one % 2 for one in numbers):
            return "is odd"
        if self.ordered and len(numbers) == 2 and numbers[0] > numbers[1]:
            return f"is a range, and {numbers[0]:g} is more than {numbers[1]:g}"
        return ""

    @property
    def words(self) -> str:
        """As in "a number or 2 numbers in an array"."""
        kind = "whole number" if self.whole else "number"
        several = [str(count) for count in self.counts if count > 1]
        counts = f"{several[0]} to {several[-1]}" if several[3:] else " or ".join(several)
        arrays = f"{counts} {kind}s in an array"
        return " or ".join([f"a {kind}"] * (1 in self.counts) + [arrays] * bool(several))


class _Switch(Takes):
    """true or false."""

    def problem(self, value: Any) -> str:
        return "" if isinstance(value, bool) else "takes true or false"


SWITCH = _Switch(0, 1)
SHARE, TIMES = Takes(0, 1), Takes(0, 16, (1, 2))
RANGE, HUES = Takes(0, 16, (2,)), Takes(-0.5, 0.5, (2,))
FILL = Takes(0, 255, (1, 3), whole=True)
SIDES = Takes(1, LARGEST_SIDE, (1, 2), whole=True, ordered=False, required=True)
SIDE = Takes(1, LARGEST_SIDE, whole=True, required=True)
ANGLES = Takes(-360, 360, (1, 2), alone=0, required=True)

Arguments = Mapping[str, Takes]
COLOUR: Mapping[str, Arguments] = {
    "ColorJitter": {
        "brightness": TIMES,
        "contrast": TIMES,
        "saturation": TIMES,
        "hue": Takes(-0.5, 0.5, (1, 2), alone=0),
    },
    "RandomPhotometricDistort": {
        "brightness": RANGE,
        "contrast": RANGE,
        "saturation": RANGE,
        "hue": HUES,
        "p": SHARE,
    },
    "RandomGrayscale": {"p": SHARE},
    "RandomInvert": {"p": SHARE},
    "RandomPosterize": {"bits": Takes(0, 8, whole=True, required=True), "p": SHARE},
    "RandomSolarize": {"threshold": Takes(0, 255, required=True), "p": SHARE},
    "RandomAdjustSharpness": {"sharpness_factor": Takes(0, 16, required=True), "p": SHARE},
    "RandomAutocontrast": {"p": SHARE},
    "RandomEqualize": {"p": SHARE},
    "RandomChannelPermutation": {},
    "GaussianBlur": {
        "kernel_size": Takes(1, 31, (1, 2), whole=True, odd=True, ordered=False, required=True),
        "sigma": Takes(0.01, 16, (1, 2)),
    },
    "RandomErasing": {
        "p": SHARE,
        "scale": Takes(0, 1, (2,)),
        "ratio": Takes(0.01, 100, (2,)),
        "value": Takes(0, 255, whole=True),
    },
}
"""Those that change colours alone; boxes and masks stay as they are."""
GEOMETRY: Mapping[str, Arguments] = {
    "RandomHorizontalFlip": {"p": SHARE},
    "RandomVerticalFlip": {"p": SHARE},
    "RandomIoUCrop": {
        "min_scale": Takes(0.01, 1),
        "max_scale": Takes(0.01, 1),
        "min_aspect_ratio": Takes(0.01, 100),
        "max_aspect_ratio": Takes(0.01, 100),
        "sampler_options": Takes(0, 1, tuple(range(2, 33)), ordered=False),
        "trials": Takes(1, 1000, whole=True),
    },
    "RandomZoomOut": {"side_range": Takes(1, 8, (2,)), "fill": FILL, "p": SHARE},
    "RandomCrop": {"size": SIDES, "pad_if_needed": SWITCH, "fill": FILL},
    "CenterCrop": {"size": SIDES},
    "RandomResizedCrop": {
        "size": SIDES,
        "scale": Takes(0.01, 1, (2,)),
        "ratio": Takes(0.01, 100, (2,)),
        "antialias": SWITCH,
    },
    "Pad": {
        "padding": Takes(0, 2**12, (1, 2, 4), whole=True, ordered=False, required=True),
        "fill": FILL,
    },
    "Resize": {"size": SIDES, "antialias": SWITCH},
    "ScaleJitter": {
        "target_size": Takes(1, LARGEST_SIDE, (2,), whole=True, ordered=False, required=True),
        "scale_range": Takes(0.01, 8, (2,)),
        "antialias": SWITCH,
    },
    "RandomShortestSize": {
        "min_size": Takes(
            *(1, LARGEST_SIDE, tuple(range(1, 65))), whole=True, ordered=False, required=True
        ),
        "max_size": Takes(1, LARGEST_SIDE, whole=True),
        "antialias": SWITCH,
    },
    "RandomResize": {"min_size": SIDE, "max_size": SIDE, "antialias": SWITCH},
    "RandomRotation": {"degrees": ANGLES, "expand": SWITCH, "fill": FILL},
    "RandomAffine": {
        "degrees": ANGLES,
        "translate": Takes(0, 1, (2,), ordered=False),
        "scale": Takes(0.05, 16, (2,)),
        "shear": Takes(-90, 90, (1, 2, 4), alone=0),
        "fill": FILL,
    },
    "RandomPerspective": {"distortion_scale": SHARE, "fill": FILL, "p": SHARE},
}
"""Those that move pixels, and boxes and masks with them."""
TRANSFORMS = {**COLOUR, **GEOMETRY}

RESIZING = frozenset({"Resize", "ScaleJitter", "RandomShortestSize", "RandomResize"})
"""What scales an image and does nothing else to it."""
CUTTING = frozenset({"RandomIoUCrop", "RandomZoomOut", "RandomCrop", "CenterCrop", "Pad"})
"""What makes its size matter, where it comes later."""


class Augment(Spec):
    """A transform of ``torchvision.transforms.v2`` for training images.

    It is drawn by the seed, the epoch and the image alone. Boxes are cut at the edges of the image;
    one that is then less than a pixel wide or high is left out, with its label and mask. An image
    that has lost all of its objects is trained on as background.

    Attributes:
        name: of the class.
        arguments: of it, by name; what is left out is torchvision's default.
        probability: of applying it, to each image; a ``p`` among its arguments is beside this.
        at: before the image is scaled to ``short`` and ``long``, or after; flips come last.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    probability: Fraction = 1.0
    at: Literal["original", "scaled"] = "original"

    @model_validator(mode="after")
    def _as_torchvision_has_it(self) -> Self:
        from detbench.recipe.validate import unknown

        known = TRANSFORMS.get(self.name)
        if known is None:
            raise ValueError(unknown("transform", self.name, list(TRANSFORMS)))
        for name, value in self.arguments.items():
            if name not in known:
                raise ValueError(f"{self.name}: {unknown('argument', name, list(known))}")
            if said := known[name].problem(value):
                raise ValueError(f"{self.name}: {name} {said}")
        for name, takes in known.items():
            if takes.required and name not in self.arguments:
                raise ValueError(f"{self.name}: {name} is required: it takes {takes.words}")
        if said := _together(self.name, self.arguments):
            raise ValueError(f"{self.name}: {said}")
        return self


def _together(name: str, given: Mapping[str, Any]) -> str:
    """What is wrong with arguments together; else empty."""
    match name:
        case "RandomCrop" if not given.get("pad_if_needed"):
            return "pad_if_needed = true is needed, as an image may be smaller than its size"
        case "RandomIoUCrop":
            options = given.get("sampler_options", [1.0])
            if max(options) < 1:
                return "one of sampler_options is 1, to leave an image as it is: else none may fit"
            for what, least, most in (("scale", 0.3, 1.0), ("aspect_ratio", 0.5, 2.0)):
                low, high = given.get(f"min_{what}", least), given.get(f"max_{what}", most)
                if low > high:
                    return f"min_{what} {low:g} is more than max_{what} {high:g}"
        case "RandomResize" if given["min_size"] >= given["max_size"]:
            return "max_size is more than min_size"
        case "ScaleJitter":
            largest = max(given["target_size"]) * given.get("scale_range", [0.1, 2.0])[1]
            if largest > LARGEST_SIDE:
                return f"it would make images of {largest:g} pixels, more than {LARGEST_SIDE}"
    return ""


def order_problem(chosen: tuple[Augment, ...]) -> str:
    """What is wrong with transforms one after another; else empty."""
    places = [one.at for one in chosen]
    if "original" in places[places.index("scaled") :] if "scaled" in places else False:
        return "those at 'original' come first, as images are scaled after them"
    before = [one.name for one in chosen if one.at == "original"]
    for place, name in enumerate(before):
        if name in RESIZING and not CUTTING & set(before[place:]):
            return f"{name} is undone by the scaling to 'short' after it: give it at = 'scaled'"
    return ""
