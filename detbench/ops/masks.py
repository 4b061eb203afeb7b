"""Masks on a grid over their boxes: cropped from whole images for training, pasted into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from detbench.ops.roi_pooling import KERNEL

THRESHOLD = 0.5
"""Where a grid's value between its cells' centres is as much, there is object."""
PIXELS = 2**22
"""Pixels that are pasted at once: 12 bytes each, of a position and a value. One object alone may
have more."""
SPARE = 2**14
"""Pixels that are pasted in vain, beside as many as are not, rather than one mask after another."""
CROPPED = 2**25
"""Numbers of whole masks that are read at once, 4 bytes each; one mask alone may have more."""


def crops(
    masks: Sequence[Tensor], rois: Tensor, objects: Tensor, counts: Sequence[int], size: int
) -> Tensor:
    """What a mask head is taught of each region: its object's mask there, by RoIAlign.

    A cell that is half covered is object, as in MMDetection's ``BitmapMasks.crop_and_resize``.

    Args:
        masks: of each image (n, h, w), 0 or 1; n may be 0.
        rois: (K, 5), image after image; K may be 0.
        objects: (K,), which of its image's each is matched to.
        counts: regions of each image; they sum to K.
        size: cells along a side.

    Returns:
        (K, size, size), float32, 0 or 1; nothing is read from the device.
    """
    parts = zip(masks, rois.split(list(counts)), objects.split(list(counts)), strict=True)
    found = [_cropped(whole, boxes[:, 1:].float(), index, size) for whole, boxes, index in parts]
    return (torch.cat(found) >= THRESHOLD).float()


def _cropped(masks: Tensor, boxes: Tensor, objects: Tensor, size: int) -> Tensor:
    """(K, size, size): shares of object, a few masks at once."""
    found = boxes.new_zeros(len(boxes), size, size)
    if not len(boxes):
        return found
    step = max(1, CROPPED // max(1, masks[0].numel())) if len(masks) else 1
    for first in range(0, len(masks), step):
        some = masks[first : first + step].float()[:, None]
        at = objects - first
        rois = torch.cat((at.clamp(0, len(some) - 1)[:, None].float(), boxes), dim=1)
        read = KERNEL(some, rois, 1.0, size, size, 0, True)[:, 0]
        found = torch.where(((at >= 0) & (at < len(some)))[:, None, None], read, found)
    return found


class Pasted(NamedTuple):
    """One detection's mask in its image.

    Attributes:
        index: of the detection.
        left, top: of ``mask``; there is no object outside of it.
        mask: (h, w), bool, in memory; h and w may be 0.
    """

    index: int
    left: int
    top: int
    mask: Tensor


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Iterator[Pasted]:
    """Masks at the size of their image, each once, small ones first.

    A pixel is object where the grid, read bilinearly at its centre, is at least ``THRESHOLD``, with
    zeros around the grid: MMDetection's ``_do_paste_mask``. That can be inside the box alone, so
    that nothing else is looked at, and memory is bounded by ``PIXELS``. A box that no pixel's
    centre is in has none.

    Args:
        masks: (D, M, M), probabilities; D may be 0.
        boxes: (D, 4), xyxy in pixels of the image, of any position and size.
        size: height and width of the image.
    """
    regions = _regions(boxes, size)
    for chosen in _together([(bottom - top, right - left) for left, top, right, bottom in regions]):
        yield from _pasted(masks, boxes, regions, chosen)


def _together(sides: list[tuple[int, int]]) -> Iterator[list[int]]:
    """Which regions, of these heights and widths, are pasted at once: small ones first, some of
    like size, as all have the sides of the largest.
    """
    chosen: list[int] = []
    height = width = own = 0
    for index in sorted(range(len(sides)), key=lambda at: sides[at][0] * sides[at][1]):
        tall, wide = sides[index]
        height, width, own = max(height, tall), max(width, wide), own + tall * wide
        padded = (len(chosen) + 1) * height * width
        if chosen and padded > min(PIXELS, 2 * own + SPARE):
            yield chosen
            chosen, (height, width), own = [], (tall, wide), tall * wide
        chosen.append(index)
    if chosen:
        yield chosen


def _regions(boxes: Tensor, size: tuple[int, int]) -> list[list[int]]:
    """Left, top, right and bottom of the pixels that a box may cover, in its image."""
    limits = boxes.new_tensor([size[1], size[0]]).repeat(2)
    low, high = boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1
    found = torch.minimum(torch.cat((low, high), dim=1).clamp(min=0), limits)
    area = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1, keepdim=True)
    regions: list[list[int]] = torch.where(area, found, 0.0).long().tolist()
    return regions


def _pasted(
    masks: Tensor, boxes: Tensor, regions: list[list[int]], chosen: list[int]
) -> Iterator[Pasted]:
    """Some of them, each on as many pixels as the largest has."""
    edges = torch.tensor([regions[index] for index in chosen])
    height, width = (int(side) for side in (edges[:, 2:] - edges[:, :2]).amax(dim=0).flip(0))
    if not height or not width:
        yield from (Pasted(index, 0, 0, torch.zeros(0, 0, dtype=torch.bool)) for index in chosen)
        return
    index, start = torch.tensor(chosen).to(masks.device), edges[:, :2].to(masks.device)
    low, high = boxes[index].float().split(2, dim=1)
    pixels = torch.arange(max(height, width), device=masks.device)
    at = (start[:, None] + pixels[:, None] + 0.5 - low[:, None]) / (high - low)[:, None] * 2 - 1
    x, y = at[:, :width, 0], at[:, :height, 1]
    shape = (len(chosen), height, width)
    grid = torch.stack((x[:, None].expand(shape), y[:, :, None].expand(shape)), dim=-1)
    read = F.grid_sample(masks[index].float()[:, None], grid, align_corners=False)[:, 0]
    found = (read >= THRESHOLD).cpu()
    for mask, number, (left, top, right, bottom) in zip(found, chosen, edges.tolist(), strict=True):
        yield Pasted(number, left, top, mask[: bottom - top, : right - left])
