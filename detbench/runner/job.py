"""What the runner hands to a cell's process, as a JSON file. No torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter

from detbench.recipe.base import DigestOf, Spec
from detbench.recipe.detector import Detector
from detbench.recipe.experiment import Cell
from detbench.recipe.model import Positive

PAPER_CLASSES = 80
"""Classes of the detectors whose GFLOPs and parameters the papers print (COCO)."""


COSTS = "costs"
"""Folder, below the store's ``work``, of the log of the process that counts."""


class CostCell(Spec):
    """Everything that determines a detector's GFLOPs and parameters.

    Attributes:
        detector: as in the paper, whatever the profile trains.
        input: width and height in pixels.
        protocol: of the counter.
        counter: version of the counting code; raise it when what is counted changes.
    """

    measures: ClassVar[DigestOf] = "cost"

    detector: Detector
    input: tuple[Positive, Positive]
    protocol: Literal["mmdet", "fvcore"] = "mmdet"
    num_classes: Positive = PAPER_CLASSES
    counter: Positive = 1


class TrainJob(Spec):
    """One cell to train and evaluate.

    Attributes:
        threads: of each process.
        processes: that share its batches; the outcome is the same up to rounding.
    """

    kind: Literal["train-eval"] = "train-eval"
    digest: str
    label: str
    cell: Cell
    store: str
    data_root: str
    device: str = "auto"
    threads: Positive = 1
    processes: Positive = 1


class CostItem(Spec):
    digest: str
    label: str
    cell: CostCell


class CostJob(Spec):
    """Any number of detectors to count in one process: each takes a moment, starting torch more."""

    kind: Literal["cost"] = "cost"
    items: tuple[CostItem, ...]
    store: str


Job = Annotated[TrainJob | CostJob, Field(discriminator="kind")]
JOB: TypeAdapter[TrainJob | CostJob] = TypeAdapter(Job)
