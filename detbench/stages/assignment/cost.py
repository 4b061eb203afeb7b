"""Assignment by predictions (DDOD; Chen et al. 2021, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import aligned_iou
from detbench.stages.assignment.adaptive import adaptive
from detbench.stages.assignment.assignment import Assignment, Normaliser
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class CostAssigner(nn.Module):
    """An object's positives are nearby candidates whose prediction fits it (DDOD, eq. 1).

    The quality of a prediction is p^(1 - alpha) IoU^alpha, with the probability p of the object's
    class and the overlap of the decoded box. As in the authors' code, and unlike the text, the
    candidates are not the best predictions of each level but those whose anchors' centres are
    closest, and each object has a threshold of its own; see ``adaptive``.

    Args:
        alpha: 0.8 for cls and 0.5 for loc in the paper (Table 5).
        top_k: nearest anchors of each level.
    """

    normaliser: Normaliser = "images"

    def __init__(self, alpha: float, top_k: int) -> None:
        super().__init__()
        self.alpha = alpha
        self.top_k = top_k

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        def quality(nearby: Tensor) -> Tensor:
            """Of (B, G, K) candidates, (B, G, K), in [0, 1]; only the object's class is read."""
            image = torch.arange(len(nearby), device=nearby.device)[:, None, None]
            logits = outputs.logits[image, nearby, targets.labels[..., None]]
            iou = aligned_iou(outputs.boxes[image, nearby], targets.boxes[:, :, None])
            return logits.float().sigmoid().pow(1 - self.alpha) * iou.pow(self.alpha)

        return adaptive(outputs.candidates, targets, self.top_k, quality)
