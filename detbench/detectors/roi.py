"""The RoI skeleton: proposals, and the stages that read them.

    images ─ backbone ─ neck ─┬─ rpn ─ proposals.cls, proposals.loc
                              ├─ features.cls ┐
                              └─ features.loc ┴─ main stage ─ rounds ─ readout
                                                 └ extras: a sibling (training only), masks

In training each task has its own sampled proposals, or shares them; at test one set serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from detbench.detectors.branch import branch_parts
from detbench.detectors.readout import Readout
from detbench.detectors.roi_settings import RoiInference, RoiPredictions, TaskProposals, Trunk
from detbench.detectors.rpn import Rpn, ScoredBoxes, suppressed
from detbench.detectors.stage import Proposed, Stage
from detbench.detectors.tasks import modules_in
from detbench.ops.boxes import clip
from detbench.ops.constant import constant
from detbench.ops.soft_suppression import soft_suppress
from detbench.ops.suppression import best_pairs, suppress
from detbench.pertask import PerTask
from detbench.stages.assignment.proposals import pad, with_index
from detbench.stages.sampling import Regions, RoiPyramid
from detbench.structures import Detections, Targets

COUNTED_PROPOSALS = 1000
COUNTED_DETECTIONS = 100


class RoiDetector(nn.Module):
    """An RoI detector made of its stages.

    Args:
        trunk: images to maps.
        rpn, proposals: proposals from the shared pyramid, and which of them each task takes.
        stages: the main one, then the rounds on its boxes.
        readout, inference: what is read at test, and how.

    Attributes:
        class_names: names of the classes in the order of the labels; None if they are unknown.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(
        self,
        trunk: Trunk,
        rpn: Rpn,
        proposals: PerTask[TaskProposals],
        stages: Sequence[Stage],
        readout: Readout,
        inference: RoiInference,
    ) -> None:
        super().__init__()
        self.backbone = trunk.backbone
        self.neck = trunk.neck
        self.rpn = rpn
        self.features = trunk.features
        self.strides = trunk.strides
        self.finest = trunk.finest
        self.proposals = proposals
        self.stages = list(stages)
        self.own = modules_in(*proposals, *(one for stage in stages for one in stage.samplers))
        # What the stages hold is registered under the names of checkpoints.
        self.main = stages[0].branch
        self.extras = {
            f"{stage.prefix}{name}": extra
            for stage in stages
            for name, extra in stage.extras.items()
        }
        for name, extra in self.extras.items():
            self.add_module(name, extra.module)
        self.rounds = nn.ModuleList(stage.branch for stage in stages[1:])
        self.own_start = ("neck", "rpn", "features", "main", *self.extras, "rounds")
        self.readout = readout
        self.inference = inference
        self.num_classes = self.main.predicts.classes

    # --- maps -------------------------------------------------------------------------------

    def pyramid(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Backbone maps and the shared pyramid (C4 alone without a neck)."""
        maps = self.backbone(images)
        return maps, (maps[-1:] if self.neck is None else self.neck(maps))

    def task_pyramids(self, maps: list[Tensor], levels: list[Tensor]) -> PerTask[RoiPyramid]:
        def make(module: nn.Module) -> RoiPyramid:
            # Once here instead of in every pooling: RoIAlign reads a channel's rows one by one.
            own = [level.contiguous() for level in module(maps, levels)[: len(self.strides)]]
            return RoiPyramid(own, self.strides, self.finest)

        return self.features.tasks.map(make)

    # --- training ---------------------------------------------------------------------------

    def losses(self, images: Tensor, targets: Targets, epoch: float = 0.0) -> dict[str, Tensor]:
        """Losses of a batch by name, with the prefix of their stage; their sum is minimised.

        Args:
            images: (B, 3, H, W), normalised.
            targets: of the batch; an image may have no objects.
            epoch: unused; dense detectors take it too.
        """
        return self.losses_of(self.network(images), images, targets, epoch)

    def network(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What a batch may be split for: each image's maps depend on it alone."""
        return self.pyramid(images)

    def losses_of(
        self,
        outputs: tuple[list[Tensor], list[Tensor]],
        images: Tensor,
        targets: Targets,
        epoch: float,
    ) -> dict[str, Tensor]:
        """``losses`` of the network's output; of ``images`` only the size is read."""
        maps, levels = outputs
        cls, loc = self.rpn(levels)
        sizes = _sizes(images, targets.sizes)
        losses = self.rpn.losses(cls, loc, targets, sizes)
        scored = self.rpn.propose(cls, loc, sizes)
        proposed = self.proposals.map(lambda task: self._propose(scored, task))
        pyramids, main = self.task_pyramids(maps, levels), self.stages[0]
        step = main.run(pyramids, proposed, targets)
        losses |= main.losses(step)
        for before, stage in pairwise(self.stages):
            refined = before.refine(step, stage, sizes)
            step = replace(stage.run(pyramids, refined, targets), of_both=step.of_both)
            losses |= stage.losses(step)
        return losses

    def _propose(self, scored: list[ScoredBoxes], task: TaskProposals) -> Proposed:
        count = task.train_count if self.training else task.test_count
        together = getattr(task, "images", 1) if self.training else 1  # own ones may lack it
        return pad(suppressed(scored, task.nms, count, together))

    def uniform(self) -> Iterator[tuple[str, float]]:
        """Each cross-entropy, by name, if all classes were equally likely."""
        yield "rpn_cls", math.log(2)
        for stage in self.stages:
            yield from stage.uniform().items()

    # --- test -------------------------------------------------------------------------------

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> RoiPredictions:
        """Raw predictions for proposals.

        On meta tensors fixed numbers of proposals, and of detections for extras, stand in, so that
        costs can be counted.

        Args:
            images: (B, 3, H, W), normalised and padded.
            sizes: (B, 2), height and width before padding; by default those of ``images``.
        """
        maps, levels = self.pyramid(images)
        cls, loc = self.rpn(levels)
        sizes = _sizes(images, sizes)
        if images.is_meta:
            counts = [COUNTED_PROPOSALS] * len(images)
            rois = images.new_empty(sum(counts), 5)
        else:
            proposals = self.test_proposals(cls, loc, sizes)
            counts = [len(boxes) for boxes in proposals]
            rois = with_index(proposals)
        pyramids = self.task_pyramids(maps, levels)
        scores, boxes = self.read(pyramids, rois, sizes)
        if images.is_meta:  # post-processing is not counted, what extras add to its boxes is
            image, found = rois[:COUNTED_DETECTIONS].split((1, 4), dim=1)
            one = Detections(found, image[:, 0], image[:, 0].long())
            self._with_extras(pyramids, [one] * len(images))
        return RoiPredictions(scores, boxes, counts, pyramids)

    def test_proposals(self, cls: list[Tensor], loc: list[Tensor], sizes: Tensor) -> list[Tensor]:
        """Of each image (K, 4), xyxy: its proposals at test, by the RPN's outputs."""
        task = self.proposals.cls
        scored = self.rpn.propose(cls, loc, sizes)
        return [image.suppressed(task.nms, task.test_count) for image in scored]

    def read(
        self, pyramids: PerTask[RoiPyramid], rois: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores and boxes of (K, 5) proposals, through as many stages as are read."""
        last = self.readout.loc_round or len(self.stages)
        outputs = self.main(_regions(pyramids, rois), self._main_heads())
        every, localised, logits = [outputs], [self.readout.boxes(outputs)], outputs.logits
        for stage in self.stages[1 : max(last, *self.readout.cls_rounds)]:
            boxes = localised[-1].decode_best(logits["cls"])
            boxes = clip(boxes, sizes.to(boxes.device)[rois[:, 0].long()])
            rois = torch.cat((rois[:, :1], boxes), dim=1)
            outputs = stage.branch(_regions(pyramids, rois))
            logits = logits | outputs.logits
            every.append(outputs)
            localised.append(outputs.boxes["loc"])
        scores = self.readout.scores([every[number - 1] for number in self.readout.cls_rounds])
        return scores, localised[last - 1].decode_all()

    def _main_heads(self) -> tuple[str, ...]:
        """Heads of the main branch that have to run."""
        if self.rounds or self.main.heads.shared:
            return ("cls", "loc")
        return self.readout.tasks

    def detect(self, images: Tensor, sizes: Tensor) -> list[Detections]:
        """Detections of each image, best first, clipped to its size.

        Args:
            images: (B, 3, H, W), normalised and padded.
            sizes: (B, 2), height and width before padding.
        """
        return self.postprocess(self.forward(images, sizes), sizes)

    def postprocess(self, predictions: RoiPredictions, sizes: Tensor) -> list[Detections]:
        """Raw predictions to detections: threshold and NMS."""
        scores = predictions.scores.split(predictions.counts)
        boxes = predictions.boxes.split(predictions.counts)
        found = [self._detect_one(*image) for image in zip(scores, boxes, sizes, strict=True)]
        return self._with_extras(predictions.pyramids, found)

    def _with_extras(
        self, pyramids: PerTask[RoiPyramid], found: list[Detections]
    ) -> list[Detections]:
        for extra in self.extras.values():
            found = extra.predict(pyramids, found)
        return found

    def _detect_one(self, scores: Tensor, boxes: Tensor, size: Tensor) -> Detections:
        settings = self.inference
        best, index, labels = best_pairs(scores, settings.score_threshold, scores.numel())
        chosen = boxes[index] if boxes.dim() == 2 else boxes[index, labels]
        found = Detections(clip(chosen, size.to(boxes.device)), best, labels)
        if settings.soft is not None:
            return soft_suppress(found, settings.nms, settings.soft, settings.max_detections)
        return suppress(found, settings.nms, settings.max_detections, keep_empty=True)

    def parts(self) -> dict[str, nn.Module]:
        """The detector's modules by what they serve, each once, for counting."""
        parts: dict[str, nn.Module] = {"backbone": self.backbone}
        if self.neck is not None:
            parts["neck"] = self.neck
        parts |= {"rpn": self.rpn, "features": self.features, **branch_parts(self.main)}
        parts |= {name: extra.module for name, extra in self.extras.items()}
        return parts | {f"round {n}": branch for n, branch in enumerate(self.rounds, start=2)}


def _regions(pyramids: PerTask[RoiPyramid], rois: Tensor) -> PerTask[Regions]:
    """The same proposals on each task's maps."""
    return pyramids.map(lambda pyramid: Regions(pyramid, rois))


def _sizes(images: Tensor, sizes: Tensor | None) -> Tensor:
    """(B, 2), height and width before padding; by default those of the images."""
    if sizes is not None:
        return sizes
    return constant([images.shape[-2:]] * len(images), images.device)
