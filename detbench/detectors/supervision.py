"""Supervision of a dense detector: assigners, and the losses that read their assignments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from detbench.detectors.tasks import TaskModules
from detbench.pertask import PerTask
from detbench.stages.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class Supervision(nn.Module):
    """Assigners and losses of one set of outputs; a detector may have several.

    Args:
        assigners: per task; one object if shared.
        losses: by name. ``cls`` is given the assignment of cls, ``joint`` both tasks', any other
            that of loc.
        levels: per task, what makes a factor of each level of the pyramid (see
            ``stages.supervision.levels``); one object for both is told of each assignment in turn,
            that of cls first.
        prefix: of its losses' names.
    """

    def __init__(
        self,
        assigners: PerTask[nn.Module],
        losses: Mapping[str, nn.Module],
        levels: PerTask[nn.Module] | None = None,
        prefix: str = "",
    ) -> None:
        super().__init__()
        self.assigners = TaskModules(assigners)
        self.levels = None if levels is None else TaskModules(levels)
        self.losses = nn.ModuleDict(losses)
        self.prefix = prefix

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> dict[str, Tensor]:
        """Losses of a batch by name.

        Args:
            targets: of the batch; all candidates of an image without objects are background.
            epoch: see ``Assigned``.
        """
        detached = outputs.detached

        def assign(assigner: nn.Module) -> Assigned:
            usual: Normaliser = getattr(assigner, "normaliser", "batch")
            found = assigner(detached, targets, epoch)
            return Assigned(found, targets, detached, epoch, usual)

        assigned = self.assigners.tasks.map(assign)
        if self.levels is not None:
            assigned = assigned.zip(self.levels.tasks, with_levels)
        found: dict[str, Tensor] = {}
        for place, loss in self.losses.items():
            read = {"cls": assigned.cls, "joint": assigned}.get(place, assigned.loc)
            for name, value in loss(outputs, read).items():
                if self.prefix + name in found:
                    raise ValueError(f"two losses give {name!r}: rename one")
                found[self.prefix + name] = value
        return found


def with_levels(assigned: Assigned, levels: nn.Module) -> Assigned:
    """With a factor of each level, by how many of its candidates are positive."""
    counts = assigned.outputs.candidates.counts
    positive = assigned.positive.sum(dim=0).split(counts)
    factors = levels(torch.stack([level.sum() for level in positive]))
    each = [factor.expand(count) for factor, count in zip(factors, counts, strict=True)]
    return replace(assigned, levels=torch.cat(each))
