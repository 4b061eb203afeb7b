"""Settings of an RoI detector beside its stages, and its predictions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from detbench.detectors.tasks import TaskModules
from detbench.ops.roi_pooling import FINEST
from detbench.pertask import PerTask
from detbench.stages.assignment.proposals import ProposalSampler
from detbench.stages.sampling import RoiPyramid


@dataclass(frozen=True)
class Trunk:
    """From images to the maps that regions are pooled from.

    Attributes:
        backbone, neck: ``neck`` is None on C4.
        features, strides: per task the pyramid it pools from, and the strides of its maps.
        finest: side in pixels of RoIs on its finest map; see ``ops.roi_pooling.assign_levels``.
    """

    backbone: nn.Module
    neck: nn.Module | None
    features: TaskModules
    strides: list[int]
    finest: float = FINEST


@dataclass(frozen=True)
class TaskProposals:
    """A task's proposals: NMS, how many, and which teach; see ``recipe.proposals.Proposals``."""

    nms: float
    train_count: int
    test_count: int
    sampler: ProposalSampler
    images: int = 1


@dataclass(frozen=True)
class RoiInference:
    """See ``recipe.roi.RoiInference``."""

    score_threshold: float
    nms: float
    soft: float | None
    max_detections: int


@dataclass(frozen=True)
class RoiPredictions:
    """Scores and boxes of one set of proposals.

    Attributes:
        scores: (K, C), probabilities without background.
        boxes: (K, 4) or (K, C, 4), xyxy.
        counts: proposals of each image; they sum to K.
        pyramids: the maps that they were pooled from, which extras read again at test.
    """

    scores: Tensor
    boxes: Tensor
    counts: list[int]
    pyramids: PerTask[RoiPyramid]
