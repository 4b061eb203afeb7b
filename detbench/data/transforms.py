"""What happens to an image between the data set and the network.

Interpolation is bilinear without antialiasing, as in MMDetection (OpenCV), on bytes: the papers'
numbers and the checkpoints trained for them depend on it. Masks take the nearest pixel, as OpenCV
chooses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from detbench.data import Sample
from detbench.ops.constant import constant
from detbench.recipe.model import Pixels

CPU = torch.device("cpu")


def scaled_size(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """Height and width of an image whose shorter side becomes ``short``.

    The longer one does not pass ``long``; the aspect is kept but for rounding (half up).
    """
    scale = min(long / max(height, width), short / min(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def resize(sample: Sample, short: int, long: int) -> tuple[Sample, tuple[float, float]]:
    """Scale a sample (see ``scaled_size``); an image that fits already is left as it is.

    Returns:
        The sample and its (x, y) factors, which differ a little by rounding.
    """
    height, width = sample.image.shape[-2:]
    size = scaled_size(height, width, short, long)
    if size == (height, width):
        return sample, (1.0, 1.0)
    image = F.resize(sample.image, list(size), InterpolationMode.BILINEAR, antialias=False)
    boxes = F.resize(_on_canvas(sample), list(size))
    masks = None if sample.masks is None else _nearest(sample.masks, size)
    scaled = replace(sample, image=image, boxes=boxes.as_subclass(Tensor), masks=masks)
    return scaled, (size[1] / width, size[0] / height)


def flip(sample: Sample) -> Sample:
    """Mirror a sample left to right."""
    boxes = F.horizontal_flip(_on_canvas(sample)).as_subclass(Tensor)
    masks = None if sample.masks is None else sample.masks.flip(-1)
    return replace(sample, image=F.horizontal_flip(sample.image), boxes=boxes, masks=masks)


def _nearest(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (n, H, W) in another size, n may be 0: pixel i is the old floor(i * old / new)."""
    rows, columns = (
        (torch.arange(new).double() * (1 / (new / old))).long().clamp(max=old - 1)
        for old, new in zip(masks.shape[-2:], size, strict=True)
    )
    return masks[:, rows][:, :, columns]


def _on_canvas(sample: Sample) -> BoundingBoxes:
    height, width = sample.image.shape[-2:]
    form = BoundingBoxFormat.XYXY
    return BoundingBoxes(sample.boxes, format=form, canvas_size=(height, width))


def normalise(
    images: Sequence[Tensor], pixels: Pixels, multiple: int, device: torch.device = CPU
) -> Tensor:
    """Stack images as the network's input.

    Args:
        images: one or more (3, h, w), uint8, RGB, of any sizes.
        pixels: the network's channel order, and mean and deviation in that order.
        multiple: of which height and width of the batch are.
        device: of the result; images are sent there as bytes, a quarter of what floats need.

    Returns:
        (B, 3, H, W), float32: images at the top left, then zeros, that is the mean colour.
    """
    height = _up(max(image.shape[-2] for image in images), multiple)
    width = _up(max(image.shape[-1] for image in images), multiple)
    mean = constant(pixels.mean, device)[:, None, None]
    factor = 1.0 / constant(pixels.std, device)[:, None, None]
    sent = [image.to(device, non_blocking=True) for image in images]
    if pixels.order == "bgr":
        sent = [image.flip(0) for image in sent]
    if all(image.shape == (3, height, width) for image in sent):
        return torch.stack(sent).float().sub_(mean).mul_(factor)
    batch = torch.zeros(len(sent), 3, height, width, device=device)
    for place, image in zip(batch, sent, strict=True):
        region = place[:, : image.shape[-2], : image.shape[-1]]
        torch.sub(image, mean, out=region).mul_(factor)
    return batch


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
