"""Flat outputs of a dense detector, made once and read by assignment, losses and inference.

B images, N candidates, C classes, G objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from detbench.ops.candidates import Candidates
from detbench.ops.coding import BoxCode


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a batch. Boxes and scores are computed when they are first read.

    Attributes:
        logits: (B, N, C), of the classes.
        code: (B, N, dims), float32, encoded boxes.
        extras: (B, N) logits of further outputs, as ``quality``, by name.
        candidates: the N anchors or points.
        box_code: decodes ``code`` to boxes.
        score: makes the score that ranks, see ``detbench.stages.score``.
        source: the outputs that these were detached from.
    """

    logits: Tensor
    code: Tensor
    extras: Mapping[str, Tensor]
    candidates: Candidates
    box_code: BoxCode
    score: nn.Module
    source: Outputs | None = None

    @cached_property
    def boxes(self) -> Tensor:
        """(B, N, 4), xyxy pixels; with gradients unless detached, whichever is read first."""
        if self.source is not None:
            return self.source.boxes.detach()
        places = self.candidates
        with torch.set_grad_enabled(self.code.requires_grad):
            return self.box_code.decode(self.code, places.boxes, places.strides)

    @cached_property
    def probabilities(self) -> Tensor:
        """(B, N, C), in [0, 1], class probabilities alone."""
        with torch.set_grad_enabled(self.logits.requires_grad):
            return self.logits.float().sigmoid()

    @cached_property
    def scores(self) -> Tensor:
        """(B, N, C), in [0, 1], by which the detector ranks its boxes; made once for both."""
        if self.source is not None:
            return self.source.scores.detach()
        with torch.set_grad_enabled(self.logits.requires_grad):
            extras = {name: x.float().sigmoid()[..., None] for name, x in self.extras.items()}
            found: Tensor = self.score(self.probabilities, extras)
            return found

    @cached_property
    def detached(self) -> Outputs:
        """The same without gradients, for assignment; boxes are decoded once for both."""
        extras = {name: x.detach() for name, x in self.extras.items()}
        logits, code = self.logits.detach(), self.code.detach()
        return replace(self, logits=logits, code=code, extras=extras, source=self)
