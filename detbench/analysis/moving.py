"""What a detector's learnt sampling moves for an object.

Two-stage: the shifts of the regions that ``sampling`` pools, whatever option asks for them, and the
boxes that it goes on with. Dense: the offsets of the deformable convolutions in the heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision.ops
from torch import Tensor

from detbench.analysis.displacements import Moved
from detbench.analysis.places import LevelPlaces, Places
from detbench.ops.boxes import aligned_iou
from detbench.ops.roi_pooling import ShiftedBins
from detbench.pertask import TASKS, PerTask
from detbench.stages.assignment.proposals import with_index
from detbench.stages.sampling import Regions, RoiPyramid

if TYPE_CHECKING:
    from detbench.analysis.kind import Floats
    from detbench.analysis.opened import Opened

LEAST = 0.5
"""IoU of an object with its best proposal, below which none is its own."""


@dataclass(frozen=True)
class Seen:
    """An object through a detector.

    Attributes:
        read: (4,), xyxy in pixels of the original: what its region or place is read as.
        moved: by part.
    """

    read: Floats
    moved: dict[str, Moved]


class Recording(RoiPyramid):
    """A pyramid that remembers how regions were shifted."""

    def __init__(self, of: RoiPyramid) -> None:
        super().__init__(of.levels, of.strides, of.finest)
        self.shares: list[Tensor] = []

    def deformable(self, rois: Tensor, shares: Tensor, bins: ShiftedBins) -> Tensor:
        self.shares.append(shares)
        return super().deformable(rois, shares, bins)


@torch.inference_mode()
def of_regions(
    opened: Opened, image: Tensor, objects: Sequence[tuple[Floats, int]]
) -> list[Seen | None]:
    """Of each object, what the main branch does with the proposal that overlaps it most; none
    where that is below ``LEAST``.

    Args:
        objects: box, xyxy in pixels of the original, and label of each.
    """
    network: Any = opened.network
    prepared = opened.prepared(image)
    maps, levels = network.pyramid(prepared.images)
    [proposals] = network.test_proposals(*network.rpn(levels), prepared.sizes)
    scale = np.array(prepared.scale * 2)
    corners = np.stack([box for box, _ in objects]) * scale
    boxes = torch.as_tensor(corners, dtype=torch.float32, device=proposals.device)
    if not len(proposals):
        return [None] * len(objects)
    best, index = aligned_iou(boxes[:, None], proposals[None]).max(dim=1)
    rois = with_index([proposals[index]])
    pyramids = network.task_pyramids(maps, levels)
    moved = {
        name: [_in_original(one, scale) for one in every]
        for name, every in _moved(network.main, pyramids, rois).items()
    }
    _, every = network.read(pyramids, rois, prepared.sizes)
    labels = [label for _, label in objects]
    read = every if every.dim() == 2 else every[range(len(labels)), labels]
    sides = read.double().cpu().numpy() / scale
    return [
        Seen(sides[n], {name: one[n] for name, one in moved.items()}) if iou >= LEAST else None
        for n, iou in enumerate(best.tolist())
    ]


def _moved(branch: Any, pyramids: PerTask[RoiPyramid], rois: Tensor) -> dict[str, list[Moved]]:
    """Of each task's sampling that moves (K, 5) regions, K displacements by part."""
    options = branch.sampling.tasks
    found = {}
    for task, option in _by_task(options):
        pyramid = Recording(pyramids.loc if task == "loc" else pyramids.cls)
        pooled = branch.pool(PerTask.both(Regions(pyramid, rois)), PerTask.both(option)).cls
        before, after = (one.double().cpu().numpy() for one in (rois[:, 1:], pooled.boxes))
        if (before != after).any() or any(one.shape[1] == 1 for one in pyramid.shares):
            found[f"{task}, proposal"] = [
                Moved(_centre(first)[None], _centre(then)[None], np.stack((first, then)))
                for first, then in zip(before, after, strict=True)
            ]
        for shares in pyramid.shares:
            if shares.shape[1] > 1:
                each = shares.double().cpu().numpy()
                found[f"{task}, points"] = [
                    _points(*pair) for pair in zip(before, each, strict=True)
                ]
    return found


def _points(box: Floats, shares: Floats) -> Moved:
    """The centres of a region's bins, (s, s) of them, before and after their shifts."""
    size, sides = len(shares), box[2:] - box[:2]
    middles = (np.arange(size) + 0.5) / size
    grid = np.stack(np.meshgrid(middles, middles), axis=-1)
    before, after = ((box[:2] + one * sides).reshape(-1, 2) for one in (grid, grid + shares))
    return Moved(before, after)


def _centre(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2)


def _in_original(one: Moved, scale: Floats) -> Moved:
    region = None if one.region is None else one.region / scale
    return Moved(one.before / scale[:2], one.after / scale[:2], region)


@dataclass(frozen=True)
class Offsets:
    """What a deformable convolution was given, level after level.

    Attributes:
        layer: the convolution.
        maps: (1, 2 k^2, H_l, W_l) each, in cells, y before x.
    """

    layer: torchvision.ops.DeformConv2d
    maps: list[Tensor]


def _by_task(modules: PerTask[Any]) -> list[tuple[str, Any]]:
    """Each module once, with whose it is."""
    if modules.shared:
        return [("both", modules.cls)]
    return list(zip(TASKS, modules, strict=True))


@contextmanager
def recorded(heads: Any) -> Iterator[dict[str, Offsets]]:
    """The offsets of every deformable convolution of the heads, by part, as they are run."""
    found, handles = dict[str, Offsets](), []
    for task, head in _by_task(heads.tasks):
        for name, layer in head.named_modules():
            if isinstance(layer, torchvision.ops.DeformConv2d):
                one = found[f"{task}, {name}"] = Offsets(layer, [])

                def keep(_: Any, given: tuple[Tensor, ...], maps: list[Tensor] = one.maps) -> None:
                    maps.append(given[1])

                handles.append(layer.register_forward_pre_hook(keep))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def of_places(
    opened: Opened, image: Tensor, objects: Sequence[tuple[Floats, int]]
) -> list[Seen | None]:
    """Of each object, the points that are read at its best-scored place; see ``of_regions``."""
    network: Any = opened.network
    prepared = opened.prepared(image)
    with recorded(network.heads) as offsets:
        predictions = network(prepared.images)
    places = Places(network, predictions, prepared)
    scale = np.array(prepared.scale * 2)
    found: list[Seen | None] = []
    for box, label in objects:
        level = places.own_level(box, label)
        row, column, candidate = places.best(level, box, label)
        one = places.levels[level]
        moved = {
            name: _in_original(_kernel(each, level, one, (row, column)), scale)
            for name, each in offsets.items()
        }
        read = one.boxes[row, column, candidate].double().cpu().numpy() / scale
        found.append(Seen(read, moved))
    return found


def _kernel(of: Offsets, number: int, level: LevelPlaces, at: tuple[int, int]) -> Moved:
    """The points of a kernel at a place's cell, in pixels of the network's input.

    They lie around the place as the detector takes it, the middle of its cell or its corner; on a
    coarser map than the level's around the middle of the places of its cell.

    Args:
        number: of the level.
        at: row and column of the place.
    """
    layer, offsets = of.layer, of.maps[number]
    times = round(level.points.shape[1] / offsets.shape[-1])
    (row, rest_y), (column, rest_x) = (divmod(one, times) for one in at)
    within = (times - 1) / 2 - np.array([rest_x, rest_y])
    middle = level.points[at].double().cpu().numpy() + within * level.stride
    height, width = layer.kernel_size
    ys, xs = (
        (np.arange(count) - (count - 1) / 2) * step
        for count, step in zip((height, width), layer.dilation, strict=True)
    )
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    stride = level.stride * times
    before = middle + grid * stride
    shifts = offsets[0, : 2 * len(grid), row, column].double().cpu().numpy().reshape(-1, 2)[:, ::-1]
    return Moved(before, before + shifts * stride)
