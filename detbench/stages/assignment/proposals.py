"""Samplers of training proposals, for batches: which are drawn, and their targets.

Everything keeps a fixed size, so that a training step on a GPU does not wait for a count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detbench.ops.boxes import pairwise_iou
from detbench.ops.constant import constant
from detbench.sharding import largest, normaliser, uniform
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE
from detbench.structures import Targets


def sample_mask(eligible: Tensor, count: int | Tensor, fraction: float = 1.0) -> Tensor:
    """Keep at most ``count x fraction`` of the eligible items of every row, at random.

    Args:
        eligible: (B, N), bool.
        count: per row; a (B, 1) tensor or a number.

    Returns:
        (B, N), bool; all eligible ones of a row that has no more than allowed.
    """
    limit = (count if isinstance(count, Tensor) else constant(count, eligible.device)) * fraction
    order = (uniform(eligible.shape, eligible.device) + (~eligible).float()).argsort(dim=1)
    place = torch.arange(eligible.shape[1], device=eligible.device)
    rank = torch.empty_like(order).scatter_(1, order, place.expand_as(order))
    return eligible & (rank < limit.floor())


@dataclass(frozen=True)
class Rois:
    """Sampled proposals of a batch.

    Attributes:
        boxes: (B, R, 4), xyxy.
        valid: (B, R), bool; the rest is padding.
        matched: (B, R): index of the object, or ``BACKGROUND``; ``IGNORE`` in padding.
        is_ground_truth: (B, R), bool: the box is an object's own.
        sample_count: scalar, at least 1: proposals that a box loss is divided by (over several
            processes see ``detbench.sharding.normaliser``).
    """

    boxes: Tensor
    valid: Tensor
    matched: Tensor
    is_ground_truth: Tensor
    sample_count: Tensor

    @property
    def positive(self) -> Tensor:
        """(B R,), bool."""
        return (self.matched >= 0).flatten()

    def flat(self) -> Tensor:
        """(B R, 5): image index and xyxy, as RoI operators take them."""
        index = torch.arange(len(self.boxes), device=self.boxes.device, dtype=self.boxes.dtype)
        index = index[:, None, None].expand(-1, self.boxes.shape[1], 1)
        return torch.cat((index, self.boxes), dim=-1).flatten(0, 1)

    def taught(self, targets: Targets, background: int) -> Taught:
        """These with their targets; images may be without objects."""
        none = self.matched < 0
        anywhere = constant([0.0, 0.0, 1.0, 1.0], self.boxes.device, self.boxes.dtype)
        if targets.boxes.shape[1] == 0:
            labels = torch.full_like(self.matched, background)
            return Taught(self, labels.flatten(), anywhere.expand(labels.numel(), 4))
        index = self.matched.clamp(min=0)
        labels = targets.labels.gather(1, index).masked_fill(none, background)
        boxes = targets.boxes.gather(1, index[..., None].expand(-1, -1, 4))
        boxes = torch.where(none[..., None], anywhere, boxes)
        return Taught(self, labels.flatten(), boxes.flatten(0, 1))


@dataclass(frozen=True)
class Taught:
    """Sampled proposals and their targets, image after image: K = B R.

    Attributes:
        rois: the proposals.
        labels: (K,), each one's class, the background's where it has none.
        target_boxes: (K, 4), xyxy, its object's; a box of size 1 at the origin where it has none.
    """

    rois: Rois
    labels: Tensor
    target_boxes: Tensor


@dataclass(frozen=True)
class ProposalSampler:
    """Match proposals to objects by IoU and sample those to train on.

    Attributes:
        positive, negative: IoU at or above which a proposal is positive, below which background.
        count: proposals per image.
        fraction: largest share of positives; background fills up.
        add_ground_truth: the objects' own boxes are proposals too, each matched to its own object,
            even where another has the same box.
        only_positive: further rounds refine positives alone, background goes on as it is
            (Decoupled R-CNN's code).
    """

    positive: float
    negative: float
    count: int
    fraction: float
    add_ground_truth: bool
    only_positive: bool = False

    def at(self, positive: float) -> ProposalSampler:
        """The sampler of a round on refined boxes, whose one threshold is ``positive``."""
        return replace(self, positive=positive, negative=positive)

    def sample(self, boxes: Tensor, valid: Tensor, targets: Targets) -> Rois:
        """Draw from (B, P, 4) proposals, (B, P) of them valid; P and the objects may be 0."""
        is_ground_truth = torch.zeros_like(valid)
        matched = self._match(boxes, valid, targets)
        if self.add_ground_truth:
            boxes = torch.cat((targets.boxes, boxes), dim=1)
            is_ground_truth = torch.cat((targets.valid, is_ground_truth), dim=1)
            matched = torch.cat((_itself(targets), matched), dim=1)
        keep = sample_mask(matched >= 0, self.count, self.fraction)
        left = (self.count - keep.sum(dim=1, keepdim=True)).clamp(min=0)
        keep = keep | sample_mask(matched == BACKGROUND, left)
        # Those kept come first, in their order, padded to a fixed number.
        order = (~keep).to(torch.int8).argsort(dim=1, stable=True)[:, : self.count]
        valid = keep.gather(1, order)
        return Rois(
            boxes=boxes.gather(1, order[..., None].expand(-1, -1, 4)),
            valid=valid,
            matched=matched.gather(1, order).masked_fill(~valid, IGNORE),
            is_ground_truth=is_ground_truth.gather(1, order) & valid,
            sample_count=normaliser(valid.sum()),
        )

    def _match(self, boxes: Tensor, valid: Tensor, targets: Targets) -> Tensor:
        if targets.boxes.shape[1] == 0:
            matched = boxes.new_full(boxes.shape[:2], BACKGROUND, dtype=torch.int64)
        else:
            iou = pairwise_iou(targets.boxes, boxes)
            best, index = iou.masked_fill(~targets.valid[..., None], -1.0).max(dim=1)
            matched = torch.where(best >= self.positive, index, IGNORE)
            matched = matched.masked_fill(best < self.negative, BACKGROUND)
        return matched.masked_fill(~valid, IGNORE)


def positive_sampler(
    positive: float, negative: float, count: int, add_ground_truth: bool
) -> ProposalSampler:
    """A sampler whose positives only ``count`` limits; they alone go on to further rounds."""
    return ProposalSampler(positive, negative, count, 1.0, add_ground_truth, only_positive=True)


def _itself(targets: Targets) -> Tensor:
    """(B, G): each object is matched to itself; one without area, and padding, is ignored."""
    real = targets.valid & ((targets.boxes[..., 2:] - targets.boxes[..., :2]) > 0).all(dim=-1)
    index = torch.arange(real.shape[1], device=real.device).expand_as(real)
    return index.masked_fill(~real, IGNORE)


def pad(boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Each image's (n, 4) boxes to (B, P, 4) and a (B, P) mask; images may have none."""
    count = largest(max((len(image) for image in boxes), default=0))
    padded = boxes[0].new_zeros(len(boxes), count, 4)
    valid = torch.zeros(len(boxes), count, dtype=torch.bool, device=padded.device)
    for index, image in enumerate(boxes):
        padded[index, : len(image)] = image
        valid[index, : len(image)] = True
    return padded, valid


def with_index(boxes: list[Tensor]) -> Tensor:
    """Each image's (n, 4) boxes to (K, 5), image index first, as RoI operators take them."""
    indices = [image.new_full((len(image), 1), float(at)) for at, image in enumerate(boxes)]
    return torch.cat((torch.cat(indices), torch.cat(boxes)), dim=1)
