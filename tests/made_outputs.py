"""Outputs of a dense detector for tests of what reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from detbench.ops.candidates import Candidates, point_grid
from detbench.ops.coding import Distance
from detbench.stages.assignment import Assigned, Assignment
from detbench.stages.outputs import Outputs
from detbench.stages.score import Product
from detbench.structures import Targets


def outputs(candidates: Candidates, images: int = 1, logits: Tensor | None = None) -> Outputs:
    """Of ``candidates``, with the box code of FCOS; zero unless given."""
    shape = (images, len(candidates.points))
    logits = torch.zeros(*shape, 3) if logits is None else logits
    return Outputs(
        logits, torch.zeros(*shape, 4), {}, candidates, Distance("relu"), Product("class")
    )


def taught(logits: Tensor, assignment: Assignment, targets: Targets) -> tuple[Outputs, Assigned]:
    """What a classification loss is given, of candidates in a row."""
    candidates = point_grid(0.5).lay([(1, logits.shape[1])], [8], torch.zeros(()))
    found = outputs(candidates, len(logits), logits)
    return found, Assigned(assignment, targets, found.detached, 0.0)
