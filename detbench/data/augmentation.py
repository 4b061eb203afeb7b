"""Transforms of ``torchvision.transforms.v2`` on samples, drawn by a key alone.

torchvision draws from torch's generator of the CPU: that is seeded for each transform of each
image, and put back, so that nothing else sees it and no process or order of images matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from detbench.data import Sample
from detbench.data.coco_check import one_line
from detbench.data.draws import Draws
from detbench.errors import DataError
from detbench.recipe.augment import COLOUR, Augment

SMALLEST = 1.0
"""Pixels of width and height that a box must have to be learnt from, as everywhere in ``data``."""
_SEEDS = 2**31


class Augmentation:
    """Some transforms, one after another.

    Args:
        chosen: checked, see ``recipe.augment``.
    """

    def __init__(self, chosen: Sequence[Augment]) -> None:
        self._steps = [(one, _made(one)) for one in chosen]

    def __call__(self, sample: Sample, draws: Draws) -> Sample:
        """The sample, with its boxes cut at the edges of the image, and without those that are
        less than a pixel wide or high then; n may become 0. The given one is not changed.

        Raises:
            DataError: torchvision cannot do it to this image.
        """
        for chosen, transform in self._steps:
            seed, applied = draws.integer(_SEEDS), draws.chance(chosen.probability)
            if not applied or (chosen.name == "RandomIoUCrop" and not len(sample.boxes)):
                continue  # without an object that one looks for a crop until it gives up
            before = torch.get_rng_state()
            torch.default_generator.manual_seed(seed)
            try:
                colour = chosen.name in COLOUR
                sample = _coloured(sample, transform) if colour else _moved(sample, transform)
            except (ValueError, TypeError, RuntimeError) as error:
                said = f"image {sample.image_id}: {chosen.name}: {one_line(error)}"
                raise DataError(f"{said}; mend training.input.augment") from error
            finally:
                torch.set_rng_state(before)
        return sample


def _made(chosen: Augment) -> nn.Module:
    arguments: dict[str, Any] = dict(chosen.arguments)
    if "fill" in arguments:
        arguments["fill"] = {tv_tensors.Image: arguments["fill"], "others": 0}  # masks: no object
    made: nn.Module = getattr(v2, chosen.name)(**arguments)
    return made


def _coloured(sample: Sample, transform: nn.Module) -> Sample:
    return replace(sample, image=_plain(transform(tv_tensors.Image(sample.image))))


def _moved(sample: Sample, transform: nn.Module) -> Sample:
    size = tuple(sample.image.shape[-2:])
    boxes = tv_tensors.BoundingBoxes(sample.boxes, format="XYXY", canvas_size=size)
    given = [tv_tensors.Image(sample.image), boxes]
    given += [] if sample.masks is None else [tv_tensors.Mask(sample.masks)]
    image, found, *masks = map(_plain, transform(*given))
    height, width = image.shape[-2:]
    found = found.clamp(min=0).minimum(found.new_tensor([width, height, width, height]))
    kept = (found[:, 2:] - found[:, :2] >= SMALLEST).all(dim=1)
    return replace(
        sample,
        image=image,
        boxes=found[kept],
        labels=sample.labels[kept],
        masks=masks[0][kept] if masks else None,
    )


def _plain(one: Tensor) -> Tensor:
    return one.as_subclass(Tensor)
