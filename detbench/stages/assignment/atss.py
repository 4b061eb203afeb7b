"""Adaptive training sample selection (Zhang et al. 2020, algorithm 1)."""

from __future__ import annotations

from torch import nn

from detbench.ops.boxes import aligned_iou
from detbench.stages.assignment.adaptive import adaptive
from detbench.stages.assignment.assignment import Assignment, Normaliser
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class AtssAssigner(nn.Module):
    """An object's positives are nearby anchors that overlap it enough, see ``adaptive``.

    Args:
        top_k: nearest anchors of each level.
    """

    normaliser: Normaliser = "images"

    def __init__(self, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        anchors, boxes = outputs.candidates.boxes, targets.boxes[:, :, None]
        return adaptive(
            outputs.candidates,
            targets,
            self.top_k,
            lambda nearby: aligned_iou(anchors[nearby], boxes),
        )
