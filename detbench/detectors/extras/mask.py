"""A mask of each box, beside the two tasks (Mask R-CNN, He et al. 2017): no third task."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.detectors.stage import Step
from detbench.errors import DataError
from detbench.ops.masks import crops
from detbench.ops.roi_pooling import Bins, present
from detbench.pertask import PerTask
from detbench.sharding import normaliser
from detbench.stages.assignment.proposals import with_index
from detbench.stages.sampling import RoiPyramid
from detbench.structures import Detections


@dataclass(frozen=True)
class Mask:
    """A mask head on the maps of loc.

    It is taught by loc's positives where they were sampled, whatever shifts them for the tasks, and
    asked about the final boxes.

    Attributes:
        module: pooled features to logits (K, C, M, M) of every class, or (K, 1, M, M) for all.
        bins: what is pooled.
        weight: of its loss.
        share: of the masks at test, where several stages have a head, whose masks are averaged.
    """

    module: nn.Module
    bins: Bins
    weight: float = 1.0
    share: float = 1.0

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Binary cross-entropy of the label's mask, a mean over the cells of all positives.

        Raises:
            DataError: the data have no masks.
        """
        if step.masks is None:
            raise DataError(
                "detector.mask: the training data have no masks to learn from: use data with "
                'segmentations, or leave the head out with mask = "none"'
            )
        rois, taught = step.taught.loc.rois, step.taught.loc
        chosen, counts = present(rois.matched >= 0)
        regions = step.regions.loc.rois[chosen]
        logits = self._logits(step.regions.loc.pyramid, regions, taught.labels[chosen])
        objects = rois.matched.flatten()[chosen]
        wanted = crops(step.masks, regions, objects, counts, logits.shape[-1])
        entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
        cells = normaliser(rois.positive.sum()) * logits.shape[-1] ** 2
        return {"mask": self.weight * entropy / cells}

    def uniform(self) -> dict[str, float]:
        """If every cell were object as likely as not."""
        return {"mask": self.weight * math.log(2)}

    def predict(
        self, pyramids: PerTask[RoiPyramid], detections: list[Detections]
    ) -> list[Detections]:
        """The detections with masks, to which it adds its share."""
        rois = with_index([each.boxes for each in detections])
        labels = torch.cat([each.labels for each in detections])
        found = self.share * self._logits(pyramids.loc, rois, labels).sigmoid()
        parts = found.split([len(each) for each in detections])
        return [
            replace(each, masks=part if each.masks is None else each.masks + part)
            for each, part in zip(detections, parts, strict=True)
        ]

    def _logits(self, pyramid: RoiPyramid, rois: Tensor, labels: Tensor) -> Tensor:
        """(K, M, M), float: of each region's mask for its label."""
        logits: Tensor = self.module(pyramid.align(rois, self.bins))
        if logits.shape[1] == 1:
            return logits[:, 0].float()
        at = labels[:, None, None, None].expand(-1, 1, *logits.shape[2:])
        return logits.gather(1, at)[:, 0].float()
