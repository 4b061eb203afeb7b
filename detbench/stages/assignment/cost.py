"""Assignment by predictions (DDOD; Chen et al. 2021, section 3.1)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from detbench.ops.boxes import aligned_iou, pairwise_iou
from detbench.stages.assignment.adaptive import adaptive
from detbench.stages.assignment.assignment import Assignment, Normaliser
from detbench.stages.outputs import Outputs
from detbench.stages.pairs import in_parts
from detbench.structures import Targets


class CostAssigner(nn.Module):
    """An object's positives are candidates whose prediction fits it (DDOD, eq. 1).

    The quality of a prediction is p^(1 - alpha) IoU^alpha, with the probability p of the object's
    class and the overlap of the decoded box. Each object has a threshold of its own, over a few
    candidates; see ``adaptive``.

    Args:
        alpha: 0.8 for cls and 0.5 for loc in the paper (Table 5).
        top_k: so many candidates of each level.
        among: which: those whose anchors' centres are ``nearest``, as in DDOD's code, or the
            ``best`` predictions anywhere, as in its text and in DeFCN's auxiliary loss, whose
            inside test has no margin.
    """

    normaliser: Normaliser = "images"

    def __init__(self, alpha: float, top_k: int, among: Literal["nearest", "best"]) -> None:
        super().__init__()
        self.alpha, self.top_k, self.among = alpha, top_k, among

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        def quality(nearby: Tensor) -> Tensor:
            """Of (B, G, K) candidates, (B, G, K), in [0, 1]; only the object's class is read."""
            image = torch.arange(len(nearby), device=nearby.device)[:, None, None]
            logits = outputs.logits[image, nearby, targets.labels[..., None]]
            iou = aligned_iou(outputs.boxes[image, nearby], targets.boxes[:, :, None])
            return self._quality(logits, iou)

        nearby = self._best(outputs, targets) if self.among == "best" else None
        return adaptive(outputs.candidates, targets, self.top_k, quality, nearby)

    def _quality(self, logits: Tensor, iou: Tensor) -> Tensor:
        return logits.float().sigmoid().pow(1 - self.alpha) * iou.pow(self.alpha)

    def _best(self, outputs: Outputs, targets: Targets) -> Tensor:
        """(B, G, K) indices of the best predictions of each level, some objects at a time."""
        found, start = [], 0
        for size in outputs.candidates.counts:
            level = slice(start, start + size)
            logits, boxes = outputs.logits[:, level].mT, outputs.boxes[:, level]
            best = partial(self._best_of, logits, boxes)
            found.append(in_parts(best, size, targets.boxes, targets.labels) + start)
            start += size
        return torch.cat(found, dim=-1)

    def _best_of(self, logits: Tensor, boxes: Tensor, objects: Tensor, labels: Tensor) -> Tensor:
        """(B, g, K) indices among (B, n, 4) boxes with (B, C, n) logits, for (B, g) objects."""
        count = boxes.shape[1]
        own = logits.gather(1, labels[..., None].expand(-1, -1, count))
        quality = self._quality(own, pairwise_iou(objects, boxes))
        return quality.topk(min(self.top_k, count), dim=-1).indices
