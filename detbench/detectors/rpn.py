"""Region proposal network (Ren et al. 2015): one objectness and one box per anchor, class-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.boxes import clip
from detbench.ops.candidates import Candidates, Grid
from detbench.ops.coding import Delta, smooth_l1
from detbench.ops.suppression import survivors
from detbench.sharding import normaliser
from detbench.stages.assignment import BACKGROUND
from detbench.stages.assignment.iou import IouAssigner
from detbench.stages.assignment.proposals import sample_mask
from detbench.stages.convolution import start
from detbench.structures import Targets


@dataclass(frozen=True)
class RpnSettings:
    """See ``recipe.proposals.Rpn``."""

    assigner: IouAssigner
    samples: int
    fraction: float
    border: float | None
    beta: float
    train_candidates: int
    test_candidates: int
    empty: Literal["dropped", "kept"]


@dataclass(frozen=True)
class ScoredBoxes:
    """One image's best boxes of every level before NMS.

    Attributes:
        boxes: (K, 4), xyxy, clipped to the image. Boxes outside of it then have no area; the
            setting ``empty`` of ``recipe.proposals.Rpn`` drops or keeps them.
        scores: (K,), objectness in [0, 1].
        levels: (K,), level of each; NMS is within a level.
    """

    boxes: Tensor
    scores: Tensor
    levels: Tensor

    def with_area(self) -> ScoredBoxes:
        """The boxes whose sides are positive."""
        real = ((self.boxes[:, 2:] - self.boxes[:, :2]) > 0).all(dim=1).nonzero()[:, 0]
        return ScoredBoxes(self.boxes[real], self.scores[real], self.levels[real])

    def suppressed(self, iou: float, count: int) -> Tensor:
        """The best ``count`` boxes that survive NMS at ``iou``, (<= count, 4), best first."""
        return self.boxes[survivors(self.boxes, self.scores, self.levels, iou, count)]


def suppressed(images: list[ScoredBoxes], iou: float, count: int, together: int) -> list[Tensor]:
    """Each image's boxes that survive NMS at ``iou``, (K, 4), best first.

    Args:
        images: of a batch.
        count: boxes of ``together`` images.
        together: this many successive images share ``count`` boxes, the best of all of them; a
            smaller group at the end shares a proportional part.
    """
    if together == 1:
        return [image.suppressed(iou, count) for image in images]
    found = []
    for first in range(0, len(images), together):
        group = images[first : first + together]
        most = max(1, count * len(group) // together)
        kept = [survivors(each.boxes, each.scores, each.levels, iou, most) for each in group]
        scores = torch.cat([each.scores[index] for each, index in zip(group, kept, strict=True)])
        best = torch.zeros_like(scores, dtype=torch.bool)
        best[scores.topk(min(most, len(scores))).indices] = True
        chosen = best.split([len(index) for index in kept])
        found += [
            each.boxes[index[wanted]]
            for each, index, wanted in zip(group, kept, chosen, strict=True)
        ]
    return found


class Rpn(nn.Module):
    """The network, its loss and its boxes.

    Args:
        inputs, channels: of the pyramid, and of the 3x3 convolution.
        grid: anchors of a cell.
        strides: of the pyramid's levels.
        settings: thresholds and counts.
        init: of the 3x3 convolution; see ``stages.convolution.ConvStyle``.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        grid: Grid,
        strides: list[int],
        settings: RpnSettings,
        init: Literal["he"] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1)
        self.cls = nn.Conv2d(channels, grid.per_cell, 1)
        self.loc = nn.Conv2d(channels, grid.per_cell * 4, 1)
        for layer in (self.conv, self.cls, self.loc):
            weight, bias = layer.parameters()
            start(weight, init if layer is self.conv else None)
            nn.init.zeros_(bias)
        self.grid = grid
        self.strides = strides
        self.code = Delta((1.0, 1.0, 1.0, 1.0))
        self.settings = settings

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level objectness logits (B, A, H, W) and deltas (B, 4 A, H, W)."""
        hidden = [F.relu(self.conv(level)) for level in levels]
        return [self.cls(x) for x in hidden], [self.loc(x) for x in hidden]

    def candidates(self, cls: list[Tensor]) -> Candidates:
        sizes = [(x.shape[-2], x.shape[-1]) for x in cls]
        return self.grid.lay(sizes, self.strides, cls[0])

    def losses(
        self, cls: list[Tensor], loc: list[Tensor], targets: Targets, sizes: Tensor
    ) -> dict[str, Tensor]:
        """Binary cross-entropy and L1 over the sampled anchors, divided by their number.

        Args:
            cls, loc: of ``forward``.
            sizes: (B, 2), height and width of each image, for ``border``.
        """
        candidates = self.candidates(cls)
        logits, deltas = _flat(cls, 1)[..., 0].float(), _flat(loc, 4).float()
        anchors = candidates.boxes.expand(len(logits), -1, -1)
        usable = self._usable(candidates, targets, sizes)
        matched = self.settings.assigner.match(anchors, targets, usable)
        positive = sample_mask(matched >= 0, self.settings.samples, self.settings.fraction)
        left = (self.settings.samples - positive.sum(dim=1, keepdim=True)).clamp(min=0)
        negative = sample_mask(matched == BACKGROUND, left)
        total = normaliser((positive | negative).sum())
        entropy = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
        losses = {"rpn_cls": (entropy * (positive | negative)).sum() / total}
        boxes = anchors
        if targets.boxes.shape[1]:
            index = matched.clamp(min=0)[..., None].expand(-1, -1, 4)
            boxes = torch.where(positive[..., None], targets.boxes.gather(1, index), anchors)
        distance = smooth_l1(deltas, self.code.encode(boxes, anchors), self.settings.beta)
        losses["rpn_loc"] = (distance.sum(dim=-1) * positive).sum() / total
        return losses

    def _usable(self, candidates: Candidates, targets: Targets, sizes: Tensor) -> Tensor | None:
        """(B, N): anchors that may be used in training; None is all of them."""
        within, border = candidates.within(targets.extents), self.settings.border
        if border is None:
            return within
        low = (candidates.boxes[:, :2] >= -border).all(dim=1)
        limits = sizes.to(candidates.boxes).flip(1)[:, None] + border
        inside = low & (candidates.boxes[:, 2:] < limits).all(dim=-1)
        return inside if within is None else inside & within

    @torch.no_grad()
    def propose(self, cls: list[Tensor], loc: list[Tensor], sizes: Tensor) -> list[ScoredBoxes]:
        """Each image's best boxes per level, decoded and clipped to its (height, width)."""
        candidates = self.candidates(cls)
        limit = self.settings.train_candidates if self.training else self.settings.test_candidates
        scores, boxes, levels, start = [], [], [], 0
        for level, (objectness, deltas) in enumerate(zip(cls, loc, strict=True)):
            count = candidates.counts[level]
            anchors = candidates.boxes[start : start + count]
            flat = _flat([objectness], 1)[..., 0].float()
            best, index = flat.topk(min(limit, count), dim=1)
            code = _flat([deltas], 4).float().gather(1, index[..., None].expand(-1, -1, 4))
            scores.append(best.sigmoid())
            boxes.append(self.code.decode(code, anchors[index]))
            levels.append(torch.full_like(index, level))
            start += count
        images = zip(*(torch.cat(each, dim=1) for each in (boxes, scores, levels)), strict=True)
        found = [
            ScoredBoxes(clip(all_boxes, size.to(all_boxes.device)), *rest)
            for (all_boxes, *rest), size in zip(images, sizes, strict=True)
        ]
        return found if self.settings.empty == "kept" else [each.with_area() for each in found]


def _flat(maps: list[Tensor], width: int) -> Tensor:
    """Per-level (B, A width, H, W) to (B, N, width), in the candidates' order."""
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, width) for x in maps], dim=1)
