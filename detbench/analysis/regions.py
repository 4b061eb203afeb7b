"""What a two-stage detector's heads say of any boxes of an image."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from detbench.ops.boxes import aligned_iou, clip
from detbench.pertask import PerTask
from detbench.stages.assignment.proposals import with_index
from detbench.stages.sampling import Regions, RoiPyramid

if TYPE_CHECKING:
    from detbench.analysis.kind import Floats
    from detbench.analysis.opened import Opened

READ = "as read at test"
HEADS = {"cls": "cls head alone", "loc": "loc head alone"}
"""Of a branch whose heads do both tasks, as Double-Head-Ext's."""
AT_ONCE = 2048
"""Boxes that go through the heads together: this bounds what memory they take."""


@dataclass(frozen=True)
class Said:
    """What one head says of K boxes about an object.

    Attributes:
        scores: (K,), of the object's class.
        ious: (K,), of the boxes that it makes of them, with the object.
    """

    scores: Floats
    ious: Floats


class Image:
    """The maps of one image, to be asked about boxes."""

    @torch.inference_mode()
    def __init__(self, opened: Opened, image: Tensor) -> None:
        self.network: Any = opened.network
        prepared = opened.prepared(image)
        self.sizes, self.scale = prepared.sizes, prepared.scale
        maps, levels = self.network.pyramid(prepared.images)
        self.pyramids: PerTask[RoiPyramid] = self.network.task_pyramids(maps, levels)

    def of_level(self, level: int) -> Image:
        """The same, whose regions are all pooled from one level, whatever their size."""
        found = copy.copy(self)
        found.pyramids = self.pyramids.map(
            lambda one: RoiPyramid([one.levels[level]], [one.strides[level]], one.finest)
        )
        return found

    def rois(self, boxes: Floats) -> Tensor:
        """(K, 5): boxes of the original image as the network takes them."""
        made = torch.as_tensor(boxes * np.array(self.scale * 2), dtype=torch.float32)
        return with_index([made.to(self.sizes.device)])

    def say(self, boxes: Floats, label: int, target: Floats) -> dict[str, Said]:
        """What is read of boxes about an object, and what each head says that does both tasks.

        Args:
            boxes: (K, 4), xyxy in pixels of the original; K may be 0.
            label, target: of the object.
        """
        aim = self.rois(target[None])[:, 1:]
        parts = [
            self._say(rois, label, aim)
            for rois in self.rois(boxes).split(AT_ONCE)
            if len(rois) or not len(boxes)
        ]
        return {
            name: Said(*(np.concatenate([one[name][n] for one in parts]) for n in (0, 1)))
            for name in parts[0]
        }

    @torch.inference_mode()
    def _say(self, rois: Tensor, label: int, aim: Tensor) -> dict[str, tuple[Floats, Floats]]:
        network = self.network
        scores, boxes = network.read(self.pyramids, rois, self.sizes)
        found = {READ: self._of(scores, boxes, label, aim)}
        if network.main.predicts.unfocused:
            outputs = network.main(self.pyramids.map(lambda pyramid: Regions(pyramid, rois)))
            for head, name in HEADS.items():
                each = outputs.logits[head].float().softmax(dim=1)
                found[name] = self._of(each, outputs.boxes[head].decode_all(), label, aim)
        return found

    def _of(self, scores: Tensor, boxes: Tensor, label: int, aim: Tensor) -> tuple[Floats, Floats]:
        chosen = boxes if boxes.dim() == 2 else boxes[:, label]
        ious = aligned_iou(clip(chosen, self.sizes[0]), aim.expand(len(chosen), -1))
        return scores[:, label].double().cpu().numpy(), ious.double().cpu().numpy()
