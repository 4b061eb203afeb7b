"""What a dense detector says at every place of an image about an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from detbench.analysis.fields import Field
from detbench.ops.boxes import aligned_iou, clip
from detbench.stages.predictor import Predictions

if TYPE_CHECKING:
    from detbench.analysis.kind import Floats
    from detbench.analysis.opened import Opened, Prepared


def level_name(stride: float) -> str:
    """As FPN calls the map of a stride: P3 that of 8."""
    return f"P{round(np.log2(stride))}"


@dataclass(frozen=True)
class LevelPlaces:
    """The places of one level.

    Attributes:
        points: (H, W, 2), in pixels of the network's input.
        probabilities: (H, W, A, C), of the classes alone.
        boxes: (H, W, A, 4), xyxy in the same pixels.
        stride: in the same pixels.
    """

    points: Tensor
    probabilities: Tensor
    boxes: Tensor
    stride: int

    @property
    def name(self) -> str:
        return level_name(self.stride)


class Places:
    """Every place of an image.

    Args:
        network: dense, in evaluation mode.
        predictions: its own, of the image.
        prepared: the image.
    """

    def __init__(self, network: Any, predictions: Predictions, prepared: Prepared) -> None:
        self.scale, self.size = prepared.scale, prepared.sizes[0]
        with torch.no_grad():
            outputs = network.outputs(predictions)
            candidates, boxes = outputs.candidates, outputs.boxes[0]
            if network.inference.clip:
                boxes = clip(boxes, self.size)
            every = (candidates.points, outputs.probabilities[0], boxes)
            parts = zip(*(one.split(candidates.counts) for one in every), strict=True)
            self.levels = []
            for at, stride, part in zip(predictions.loc, candidates.levels, parts, strict=True):
                shape = (*at.shape[-2:], candidates.per_cell, -1)
                points, probabilities, boxes = (one.reshape(shape) for one in part)
                self.levels.append(LevelPlaces(points[:, :, 0], probabilities, boxes, stride))

    def scaled(self, box: Floats) -> Tensor:
        """(4,): a box of the original image in pixels of the network's input."""
        made = torch.as_tensor(box * np.array(self.scale * 2), dtype=torch.float32)
        return made.to(self.size.device)

    def fields(self, box: Floats, label: int, reach: float) -> dict[str, Field]:
        """Both maps about an object by level; of several candidates of a place the best of each.

        Args:
            box, label: of the object.
            reach: how far the places are from its centre at most, in its sides.

        Returns:
            Levels without such a place are left out.
        """
        aim = self.scaled(box)
        middle, sides = (aim[:2] + aim[2:]) / 2, (aim[2:] - aim[:2]).clamp(min=1e-6)
        found = {}
        for level in self.levels:
            places = (level.points - middle) / sides
            seen = (level.points < self.size.flip(0)).all(dim=-1)
            inside = ((places.abs() <= reach).all(dim=-1) & seen).nonzero()
            if not len(inside):
                continue
            (top, left), (bottom, right) = inside.amin(dim=0), inside.amax(dim=0) + 1
            part = slice(int(top), int(bottom)), slice(int(left), int(right))
            cls = level.probabilities[part][..., label].amax(dim=-1)
            loc = aligned_iou(level.boxes[part], aim).amax(dim=-1)
            xs, ys = places[part][0, :, 0], places[part][:, 0, 1]
            found[level.name] = Field(*(one.double().cpu().numpy() for one in (xs, ys, cls, loc)))
        return found

    def best(self, level: int, box: Floats, label: int) -> tuple[int, int, int]:
        """Row, column and candidate of the best-scored place inside an object on a level; of none
        inside, of the one next to its centre.
        """
        one, aim = self.levels[level], self.scaled(box)
        inside = ((one.points >= aim[:2]) & (one.points <= aim[2:])).all(dim=-1)
        scores = one.probabilities[..., label].amax(dim=-1)
        if inside.any():
            chosen = torch.where(inside, scores, -1.0)
        else:
            chosen = -(one.points - (aim[:2] + aim[2:]) / 2).norm(dim=-1)
        row, column = divmod(int(chosen.argmax()), chosen.shape[1])
        return row, column, int(one.probabilities[row, column, :, label].argmax())

    def own_level(self, box: Floats, label: int) -> int:
        """The level whose best place inside an object scores highest."""
        best = [
            float(one.probabilities[(*self.best(n, box, label), label)])
            for n, one in enumerate(self.levels)
        ]
        return int(np.argmax(best))


def of_image(opened: Opened, image: Tensor) -> Places:
    """The places of an image, through the whole network."""
    prepared = opened.prepared(image)
    network: Any = opened.network
    with torch.inference_mode():
        return Places(network, network(prepared.images), prepared)
