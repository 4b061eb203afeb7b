"""Assignment by fixed IoU thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detbench.ops.boxes import pairwise_iou
from detbench.ops.candidates import Candidates
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment, per_image
from detbench.structures import Targets


@dataclass(frozen=True)
class IouAssigner:
    """Positive at ``positive`` or more, background below ``negative``, ignored between.

    Faster R-CNN, section 3.1.2, and RetinaNet, section 4. With ``match_low_quality`` every object
    also takes the candidates that overlap it most, if they reach ``min_positive`` and more than 0;
    of two such objects the later one wins, as in MMDetection.

    Attributes:
        own_best: such candidates are given the object that they overlap most instead, as in
            maskrcnn-benchmark.
        late: candidates that may not be used can be an object's best all the same, which then has
            no other, as there.
    """

    positive: float = 0.5
    negative: float = 0.4
    min_positive: float = 0.0
    match_low_quality: bool = True
    own_best: bool = False
    late: bool = False

    def assign(
        self,
        candidates: Candidates,
        targets: Targets,
        predictions: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Assignment:
        boxes = candidates.boxes.expand(len(targets.boxes), -1, -1)
        matched = self.match(boxes, targets, candidates.within(targets.extents))
        return Assignment(matched, per_image(matched >= 0))

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
