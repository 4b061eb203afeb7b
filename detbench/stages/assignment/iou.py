"""Assignment by fixed IoU thresholds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import pairwise_iou
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment, Normaliser
from detbench.stages.outputs import Outputs
from detbench.stages.pairs import PAIRS, parts
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
        if targets.boxes.shape[1] == 0:
            matched = boxes.new_full(boxes.shape[:2], BACKGROUND, dtype=torch.int64)
            return matched if usable is None else matched.masked_fill(~usable, IGNORE)
        best, index, low = self._best(boxes, targets, usable)
        matched = torch.full_like(index, IGNORE)
        matched = matched.masked_fill(best < self.negative, BACKGROUND)
        matched = torch.where(best >= self.positive, index, matched)
        matched = torch.where(low >= 0, index if self.own_best else low, matched)
        return matched if usable is None else matched.masked_fill(~usable, IGNORE)

    def _best(
        self, boxes: Tensor, targets: Targets, usable: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each candidate, (B, N): its highest IoU, of which object, and the last object whose
        best it is, -1 for none. Objects are taken in parts, so that memory is bounded.
        """
        best = boxes.new_full(boxes.shape[:2], -1.0)
        index = best.new_zeros(best.shape, dtype=torch.int64)
        low = torch.full_like(index, -1)
        order = torch.arange(targets.boxes.shape[1], device=boxes.device)
        for part in parts(len(boxes), len(order), boxes.shape[1], PAIRS):
            iou = pairwise_iou(targets.boxes[:, part], boxes)
            pairs = targets.valid[:, part, None]
            if usable is not None and not self.late:
                pairs = pairs & usable[:, None]
            iou = iou.masked_fill(~pairs, -1.0)
            here, which = iou.max(dim=1)
            index = torch.where(here > best, order[part][which], index)
            best = torch.maximum(here, best)
            if self.match_low_quality:
                highest = iou.max(dim=2, keepdim=True).values
                enough = (highest >= self.min_positive) & (highest > 0)
                owner = torch.where((iou == highest) & enough, order[part, None], -1)
                low = torch.maximum(low, owner.max(dim=1).values)
        return best, index, low
