"""Grad-CAM (Selvaraju et al. 2017) on the pyramid: what a detector's outputs owe to its maps.

Of a map A of C channels and an output y: the mean over the map of dy/dA of a channel is the
channel's weight, and ReLU of the weighted sum over channels is the Grad-CAM. Only what comes after
the pyramid has a graph, so that memory is that of the heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from detbench.analysis.cams import Cams
from detbench.analysis.places import Places, level_name
from detbench.ops.roi_pooling import assign_levels
from detbench.pertask import PerTask
from detbench.stages.assignment.proposals import with_index
from detbench.stages.features import Pyramid
from detbench.stages.sampling import RoiPyramid

if TYPE_CHECKING:
    from detbench.analysis.kind import Floats
    from detbench.analysis.opened import Opened, Prepared

SIDES = (-1.0, -1.0, 1.0, 1.0)
"""Left, top, right and bottom: which way is out."""
LEAST = 1e-12


def grad_cam(output: Tensor, features: Tensor) -> Tensor:
    """(H, W): the Grad-CAM of a scalar on (1, C, H, W) features; zero where it owes them nothing.

    The output's graph is kept.
    """
    [found] = torch.autograd.grad(output, [features], retain_graph=True, allow_unused=True)
    if found is None:
        return features.new_zeros(features.shape[-2:])
    weights = found[0].mean(dim=(1, 2), keepdim=True)
    return (weights * features[0].detach()).sum(dim=0).relu()


def grad_cam_of_box(box: Tensor, features: Tensor) -> Tensor:
    """(H, W): the sum of the Grad-CAMs of a box's four sides, each counted outwards.

    Args:
        box: (4,), xyxy.
    """
    cams = [grad_cam(way * side, features) for way, side in zip(SIDES, box, strict=True)]
    return torch.stack(cams).sum(dim=0)


class Dense:
    """A dense detector and an image.

    Args:
        opened: the detector.
        image: (3, H, W), uint8.
    """

    def __init__(self, opened: Opened, image: Tensor) -> None:
        self.network: Any = opened.network
        self.prepared = opened.prepared(image)
        with torch.no_grad():
            pyramid = self.network.pyramid(self.prepared.images)
        self.levels = _leaves(pyramid.levels)
        with torch.enable_grad():
            self.predictions = self.network.predict(Pyramid(self.levels, pyramid.below))
        self.places = Places(self.network, self.predictions, self.prepared)
        self.candidates = self.network.candidates(self.predictions)

    def cams(self, box: Floats, label: int) -> tuple[str, dict[str, Cams]]:
        """Of the best-scored place of the object's class inside it on each level, the Grad-CAMs of
        the class's logit and of the box; and the name of the object's own level.
        """
        found = {}
        for n, level in enumerate(self.places.levels):
            cls, loc = self._outputs(n, self.places.best(n, box, label), label)
            maps = grad_cam(cls, self.levels[n]), grad_cam_of_box(loc, self.levels[n])
            found[level.name] = _cams(maps, level.stride, self.prepared)
        return self.places.levels[self.places.own_level(box, label)].name, found

    def _outputs(self, n: int, at: tuple[int, int, int], label: int) -> tuple[Tensor, Tensor]:
        """The logit and the box of a place, with their graphs."""
        network, (row, column, candidate) = self.network, at
        classes, dims = network.num_classes, network.code.dims
        with torch.enable_grad():
            logit = self.predictions.cls[n][0, candidate * classes + label, row, column]
            code = self.predictions.loc[n][
                0, candidate * dims : (candidate + 1) * dims, row, column
            ]
            every, width = self.candidates, self.predictions.loc[n].shape[-1]
            index = sum(every.counts[:n]) + (row * width + column) * every.per_cell + candidate
            place, stride = every.boxes[index], every.strides[index]
            box = network.code.decode(code.float()[None], place[None], stride[None])[0]
        return logit, box


class Regions:
    """A two-stage detector and an image; arguments as of ``Dense``."""

    def __init__(self, opened: Opened, image: Tensor) -> None:
        self.network: Any = opened.network
        self.prepared = opened.prepared(image)
        with torch.no_grad():
            maps, levels = self.network.pyramid(self.prepared.images)
            pyramids = self.network.task_pyramids(maps, levels)
        self.pyramids: PerTask[RoiPyramid] = pyramids.map(
            lambda one: RoiPyramid(_leaves(one.levels), one.strides, one.finest)
        )

    def cams(self, box: Floats, label: int) -> tuple[str, dict[str, Cams]]:
        """Of the object's own box as a region, the Grad-CAMs of the logarithm of its class's score
        and of the box, as both are read, on the level that it is read from.
        """
        network, prepared = self.network, self.prepared
        corners = torch.as_tensor(box * np.array(prepared.scale * 2), dtype=torch.float32)
        rois = with_index([corners[None].to(prepared.sizes.device)])
        with torch.enable_grad():
            scores, boxes = network.read(self.pyramids, rois, prepared.sizes)
            score = scores[0, label].clamp(min=LEAST).log()
            read = boxes[0] if boxes.dim() == 2 else boxes[0, label]
        strides = self.pyramids.cls.strides
        level = int(assign_levels(rois, len(strides), self.pyramids.cls.finest))
        features = self.pyramids.map(lambda one: one.levels[level])
        maps = grad_cam(score, features.cls), grad_cam_of_box(read, features.loc)
        name = level_name(strides[level])
        return name, {name: _cams(maps, strides[level], prepared)}


def of_objects(
    opened: Opened, image: Tensor, objects: Sequence[tuple[Floats, int]]
) -> Iterator[tuple[str, dict[str, Cams]]]:
    """Of each object, its own level, and both Grad-CAMs by level.

    Args:
        objects: box, xyxy in pixels of the original, and label of each.
    """
    asked = Dense(opened, image) if opened.dense else Regions(opened, image)
    for box, label in objects:
        yield asked.cams(box, label)


def _leaves(levels: Sequence[Tensor]) -> list[Tensor]:
    return [one.detach().requires_grad_() for one in levels]


def _cams(maps: Sequence[Tensor], stride: int, prepared: Prepared) -> Cams:
    """In pixels of the original, without the cells of padding."""
    height, width = prepared.sizes[0].tolist()
    rows, columns = -(-height // stride), -(-width // stride)
    cls, loc = (one[:rows, :columns].double().cpu().numpy() for one in maps)
    x, y = prepared.scale
    return Cams(cls, loc, (stride / x, stride / y), (width / x, height / y))
