"""Joint criteria: both tasks' losses by weights of the pairs of an object and a place.

A pair's weight as a positive and its place's as a negative follow from how well the place's box
fits the object and how sure its score is, ``Outputs.scores``, which makes class and objectness one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.boxes import giou_loss, pairwise_iou
from detbench.pertask import PerTask
from detbench.sharding import normaliser
from detbench.stages.assignment.assignment import IGNORE, Assigned
from detbench.stages.outputs import Outputs
from detbench.stages.pairs import LITTLE, by_class, in_parts, kinds, of_class, parts, spread

LEAST = 1e-12
LEAST_IOU = 0.5
"""Of a box that is no plain negative (DW, section 3.3)."""


class AutoAssign(nn.Module):
    """Weights inside the logarithm: an object's loss is -log of its places' weighted mean of
    p = score x exp(-box x GIoU loss), its weights being its prior x exp(sharpness x p)
    (AutoAssign; Zhu et al. 2020, eqs. 2 to 8).

    As a negative a place counts the less, the better its best box of all objects; what a prior
    sums to over an image's objects is taught too. Both tasks have one assignment.

    Args:
        positive, negative, center: weights of the three losses.
        box: exponent of the localisation probability.
        sharpness: how much more sure places count.
        gamma: exponent of the score that modulates negatives.
    """

    def __init__(
        self,
        positive: float,
        negative: float,
        center: float,
        box: float,
        sharpness: float,
        gamma: float,
    ) -> None:
        super().__init__()
        self.positive, self.negative, self.center = positive, negative, center
        self.box, self.sharpness, self.gamma = box, sharpness, gamma

    def forward(self, outputs: Outputs, assigned: PerTask[Assigned]) -> dict[str, Tensor]:
        both = assigned.cls
        with torch.autocast(outputs.logits.device.type, enabled=False):
            pairs = both.pairs.float()
            positive = self._bags(outputs, both, pairs).sum()
            weights = self._negative_weights(outputs, both, pairs)
            background = _background(outputs.scores * weights, self.gamma)
            background = (background.sum(dim=-1) * _taught(both)).sum()
        count, priors = both.targets.valid.sum(), pairs.detach().sum()
        return {
            "positive": self.positive * positive / normaliser(count),
            "negative": self.negative * background / normaliser(priors),
            "center": self.center * _center(both, pairs),
        }

    def _bags(self, outputs: Outputs, assigned: Assigned, pairs: Tensor) -> Tensor:
        """(B, G), each object's loss; that of one without a place is 100, and teaches nothing."""
        scores, boxes = outputs.scores, outputs.boxes.float()
        targets, levels = assigned.targets, assigned.levels

        def bags(pairs: Tensor, objects: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
            fit = torch.exp(-self.box * _giou(boxes, objects))
            sure = of_class(scores, labels) * fit
            weight = (self.sharpness * sure).exp() * F.threshold(pairs, LITTLE, 0.0)
            share = weight / weight.sum(dim=-1, keepdim=True).clamp(min=LEAST)
            loss = _surprise((share * sure).sum(dim=-1)) * valid
            return loss if levels is None else loss * (share.detach() * levels).sum(dim=-1)

        places = pairs.shape[-1]
        return in_parts(bags, places, pairs, targets.boxes, targets.labels, targets.valid)

    @torch.no_grad()
    def _negative_weights(self, outputs: Outputs, assigned: Assigned, pairs: Tensor) -> Tensor:
        """(B, N, C): 1 less the fit of a place's best box, scaled over each object's places."""
        boxes, targets = outputs.detached.boxes.float(), assigned.targets
        best = boxes.new_zeros(boxes.shape[:2])
        if targets.boxes.shape[1]:
            for part in parts(*pairs.shape):
                iou = pairwise_iou(targets.boxes[:, part], boxes)
                best = torch.maximum(best, iou.amax(dim=1))
        fit = (1 / (1 - best).clamp(min=LEAST))[:, None]

        def values(part: slice) -> Tensor:
            inside = pairs[:, part] > 0
            return 1 - spread(fit.expand(inside.shape), inside)

        classes = outputs.logits.shape[-1]
        return by_class(values, pairs, targets.labels, classes).transpose(1, 2)


class DualWeighting(nn.Module):
    """Weights outside the logarithm, detached (DW; Li et al. 2022, section 3).

    A pair's weight as a positive is exp(mu t) t x prior over the sum of exp(nu t) t x prior of the
    object's places, t = score x exp(-beta x GIoU loss), for both tasks' losses. As a negative a
    place counts by its box's IoU with the object where that is half or more, else fully; of several
    objects of a class the last stands.

    Args:
        weight: of the positives' losses.
        beta: exponent of the localisation probability.
        mu, nu: of the weight, and of the sum that it is divided by, as in the authors' code.
        gamma1, gamma2: exponents of IoU and score in a negative's weight.
    """

    def __init__(
        self, weight: float, beta: float, mu: float, nu: float, gamma1: float, gamma2: float
    ) -> None:
        super().__init__()
        self.weight, self.beta, self.mu, self.nu = weight, beta, mu, nu
        self.gamma1, self.gamma2 = gamma1, gamma2

    def forward(self, outputs: Outputs, assigned: PerTask[Assigned]) -> dict[str, Tensor]:
        cls, targets = assigned.cls, assigned.cls.targets
        with torch.autocast(outputs.logits.device.type, enabled=False):
            weights = assigned.map(lambda task: self._weights(outputs, task))
            surprise = _surprise(outputs.scores)
            positive = (surprise * self._of_classes(cls, weights.cls, surprise)).sum()
            loc = self._boxes(outputs, assigned.loc, weights.loc)
            negative = self._negative_weights(outputs, cls)
            background = _background(outputs.scores, self.gamma2) * negative
            background = (background.sum(dim=-1) * _taught(cls)).sum()
            count = normaliser(targets.valid.sum())
        return {
            "positive": self.weight * positive / count,
            "loc": self.weight * loc / count,
            "negative": background / normaliser((1 - negative).sum()),
        }

    @torch.no_grad()
    def _weights(self, outputs: Outputs, assigned: Assigned) -> Tensor:
        """(B, G, N): positive weights; those of an object sum to 1 or a little more."""
        detached = outputs.detached
        boxes, scores, targets = detached.boxes.float(), detached.scores, assigned.targets

        def weights(pairs: Tensor, objects: Tensor, labels: Tensor) -> Tensor:
            fit = torch.exp(-self.beta * _giou(boxes, objects))
            sure = of_class(scores, labels) * fit
            own = sure * F.threshold(pairs, LITTLE, 0.0)
            total = ((self.nu * sure).exp() * own).sum(dim=-1, keepdim=True)
            return (self.mu * sure).exp() * own / total.clamp(min=LEAST)

        pairs = assigned.pairs.detach().float()
        return in_parts(weights, boxes.shape[1], pairs, targets.boxes, targets.labels)

    @torch.no_grad()
    def _of_classes(self, assigned: Assigned, weights: Tensor, like: Tensor) -> Tensor:
        """(B, N, C): positive weights of each place's objects, by their classes."""
        found = kinds(assigned.targets.labels, like.shape[-1]).transpose(1, 2) @ weights
        return assigned.levelled(found).transpose(1, 2)

    def _boxes(self, outputs: Outputs, assigned: Assigned, weights: Tensor) -> Tensor:
        boxes = outputs.boxes.float()

        def losses(weights: Tensor, objects: Tensor) -> Tensor:
            return (assigned.levelled(weights) * _giou(boxes, objects)).sum(dim=-1)

        found = in_parts(losses, boxes.shape[1], weights, assigned.targets.boxes)
        return self.beta * found.sum()

    @torch.no_grad()
    def _negative_weights(self, outputs: Outputs, assigned: Assigned) -> Tensor:
        """(B, N, C), in [0, 1]."""
        boxes, targets, pairs = outputs.detached.boxes.float(), assigned.targets, assigned.pairs

        def values(part: slice) -> Tensor:
            iou, inside = pairwise_iou(targets.boxes[:, part], boxes), pairs[:, part] > 0
            far = (1 - iou**self.gamma1) / (1 - LEAST_IOU**self.gamma1)
            return torch.where(iou < LEAST_IOU, 1.0, spread(far, inside, most=1.0))

        classes = outputs.logits.shape[-1]
        return by_class(values, pairs.detach().float(), targets.labels, classes).transpose(1, 2)


def _giou(boxes: Tensor, objects: Tensor) -> Tensor:
    """(B, N, 4) boxes and (B, G, 4) objects to (B, G, N), in [0, 2]."""
    return giou_loss(boxes[:, None], objects[:, :, None])


def _taught(assigned: Assigned) -> Tensor:
    """(B, N), how much each place counts as a negative: by its level, and not if it is ignored."""
    return assigned.levelled(assigned.assignment.matched != IGNORE)


def _surprise(probabilities: Tensor) -> Tensor:
    """-log, at most 100 as in the authors' codes; there without a gradient."""
    least = torch.finfo(probabilities.dtype).tiny
    found = -probabilities.clamp(min=least).log()
    return torch.where(probabilities > least, found, 100.0)


def _background(probabilities: Tensor, gamma: float) -> Tensor:
    """Cross-entropy against 0, modulated by the probability."""
    most = 1 - torch.finfo(probabilities.dtype).eps
    return probabilities.pow(gamma) * -torch.log1p(-probabilities.clamp(max=most))


def _center(assigned: Assigned, pairs: Tensor) -> Tensor:
    """A scalar: an image's objects over the sum of their priors, a mean over the batch.

    An image whose objects have no place counts 0; in the authors' codes 1e12, which teaches as
    little.
    """
    count, total = assigned.targets.valid.sum(dim=1), pairs.sum(dim=(1, 2))
    ratio = torch.where(total > 0, count / total.clamp(min=LEAST), 0.0)
    return ratio.sum() / normaliser(torch.ones_like(ratio).sum())
