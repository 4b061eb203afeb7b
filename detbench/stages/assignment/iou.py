"""Assignment by fixed IoU thresholds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import pairwise_iou
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment, Normaliser
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class IouAssigner(nn.Module):
    """Positive at ``positive`` or more, background below ``negative``, ignored between.

    Faster R-CNN, section 3.1.2, and RetinaNet, section 4. With ``match_low_quality`` every object
    also takes the candidates that overlap it most, if they reach ``min_positive`` and more than 0;
    of two such objects the later one wins, as in MMDetection.

    Args:
        own_best: such candidates are matched to the object that they overlap most instead, as in
            maskrcnn-benchmark.
        late: a candidate that is not ``usable`` can still be an object's best, and the object then
            gets no other, as there.
    """

    normaliser: Normaliser = "images"

    def __init__(
        self,
        positive: float,
        negative: float,
        min_positive: float,
        match_low_quality: bool,
        own_best: bool = False,
        late: bool = False,
    ) -> None:
        super().__init__()
        self.positive, self.negative, self.min_positive = positive, negative, min_positive
        self.match_low_quality, self.own_best, self.late = match_low_quality, own_best, late

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        candidates = outputs.candidates
        boxes = candidates.boxes.expand(len(targets.boxes), -1, -1)
        return Assignment(self.match(boxes, targets, candidates.within(targets.extents)))

    def match(self, boxes: Tensor, targets: Targets, usable: Tensor | None = None) -> Tensor:
        """(B, N, 4) boxes to (B, N) matches; images without objects are all background.

        Candidates that are not ``usable``, (B, N), are ignored and match nothing.
        """
        count = targets.boxes.shape[1]
        if count == 0:
            matched = boxes.new_full(boxes.shape[:2], BACKGROUND, dtype=torch.int64)
            return matched if usable is None else matched.masked_fill(~usable, IGNORE)
        iou = pairwise_iou(targets.boxes, boxes)
        pairs = targets.valid[..., None]
        if usable is not None and not self.late:
            pairs = pairs & usable[:, None]
        iou = iou.masked_fill(~pairs, -1.0)
        best, index = iou.max(dim=1)
        matched = torch.full_like(index, IGNORE)
        matched = matched.masked_fill(best < self.negative, BACKGROUND)
        matched = torch.where(best >= self.positive, index, matched)
        if self.match_low_quality:
            highest = iou.max(dim=2, keepdim=True).values
            enough = (highest >= self.min_positive) & (highest > 0)
            order = torch.arange(count, device=iou.device)[:, None]
            low = torch.where((iou == highest) & enough, order, -1).max(dim=1).values
            matched = torch.where(low >= 0, index if self.own_best else low, matched)
        return matched if usable is None else matched.masked_fill(~usable, IGNORE)
