"""What an RoI detector is told beside its modules, and what it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from detbench.pertask import PerTask
from detbench.stages.assignment.sampling import ProposalSampler
from detbench.stages.supervision.roi import BoxLoss, CrossEntropy, WithoutPositives


@dataclass(frozen=True)
class TaskProposals:
    """A task's proposals: NMS, how many, and which teach; see ``recipe.roi.Proposals``."""

    nms: float
    train_count: int
    test_count: int
    sampler: ProposalSampler
    images: int = 1


@dataclass(frozen=True)
class BranchLosses:
    """Losses of a branch.

    Attributes:
        cls, loc: of the focused tasks.
        unfocused: weights of the unfocused losses, or none.
        divisor: of box losses, see ``recipe.roi.BoxLoss``.
        margins: of the progressive constraint per task; none leaves one out.
        without_positives: how images without positives count in it.
    """

    cls: CrossEntropy
    loc: BoxLoss
    unfocused: PerTask[float] | None = None
    divisor: Literal["sampled", "both", "twice"] = "sampled"
    margins: PerTask[float | None] = PerTask(None, None)  # noqa: RUF009 - frozen
    without_positives: WithoutPositives = "as-others"


@dataclass(frozen=True)
class RoundSettings:
    """One further round: whether it classifies, who teaches it, its losses and weight."""

    classifies: bool
    samplers: PerTask[ProposalSampler]
    losses: BranchLosses
    weight: float


@dataclass(frozen=True)
class RoiInference:
    """See ``recipe.roi.RoiInference``."""

    score_threshold: float = 0.05
    nms: float = 0.5
    soft: float | None = None
    max_detections: int = 100


@dataclass(frozen=True)
class RoiPredictions:
    """Scores and boxes of one set of proposals.

    Attributes:
        scores: (K, C), probabilities without background.
        boxes: (K, 4) or (K, C, 4), xyxy.
        counts: proposals of each image; they sum to K.
    """

    scores: Tensor
    boxes: Tensor
    counts: list[int]


def samplers(proposals: PerTask[TaskProposals], rounds: list[RoundSettings]) -> list[Any]:
    """Whatever chooses proposals, the main branch's and each round's."""
    main = [*proposals, *(task.sampler for task in proposals)]
    return main + [sampler for one in rounds for sampler in one.samplers]
