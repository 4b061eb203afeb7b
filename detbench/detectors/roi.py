"""The RoI skeleton: proposals, a main branch, and what is trained beside it or run after it.

    images ─ backbone ─ neck ─┬─ rpn ─ proposals.cls, proposals.loc
                              ├─ features.cls ┐
                              └─ features.loc ┴─ main branch ─ rounds ─ readout
                                                 sibling (training only)

In training each task has its own sampled proposals, or shares them; at test one set serves both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.detectors.branch import Branch, HeadOutput, branch_parts
from detbench.detectors.readout import Readout
from detbench.detectors.roi_losses import (
    branch_losses,
    constraint_losses,
    decode,
    decode_all,
    run_output,
)
from detbench.detectors.roi_settings import (
    BranchLosses,
    RoiInference,
    RoiPredictions,
    RoundSettings,
    TaskProposals,
    samplers,
)
from detbench.detectors.rpn import Rpn, ScoredBoxes, suppressed
from detbench.detectors.tasks import TaskModules, modules_in
from detbench.ops.boxes import clip
from detbench.ops.soft_suppression import soft_suppress
from detbench.ops.suppression import best_pairs, suppress
from detbench.pertask import PerTask
from detbench.stages.assignment.sampling import ProposalSampler, Rois, pad, with_index
from detbench.stages.sampling import RoiPyramid
from detbench.stages.supervision.roi import BoxLoss
from detbench.structures import Detections, Targets

COUNTED_PROPOSALS = 1000


class RoiDetector(nn.Module):
    """An RoI detector put together from its stages.

    Args:
        backbone, neck: images to maps; ``neck`` is none on C4.
        rpn, proposals: proposals from the shared pyramid, and which of them each task takes.
        features, strides: per task the pyramid it pools from, and the strides of its maps.
        finest: side in pixels of RoIs on its finest map; see ``ops.roi_pooling.assign_levels``.
        main, losses: the branch that is read out.
        sibling, sibling_losses: trained beside it.
        rounds, round_settings: on refined boxes.

    Attributes:
        class_names: what the labels are called, in their order; none where nobody said.
    """

    own_start = ("neck", "rpn", "features", "main", "sibling", "rounds")
    class_names: tuple[str, ...] | None = None

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module | None,
        rpn: Rpn,
        features: TaskModules,
        strides: list[int],
        finest: float,
        proposals: PerTask[TaskProposals],
        main: Branch,
        losses: BranchLosses,
        sibling: Branch | None,
        sibling_losses: BranchLosses | None,
        rounds: list[Branch],
        round_settings: list[RoundSettings],
        readout: Readout,
        inference: RoiInference,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.rpn = rpn
        self.features = features
        self.strides = strides
        self.finest = finest
        self.proposals = proposals
        self.own = modules_in(*samplers(proposals, round_settings))
        self.main = main
        self.main_losses = losses
        self.sibling = sibling
        self.sibling_losses = sibling_losses
        self.rounds = nn.ModuleList(rounds)
        self.round_settings = round_settings
        self.readout = readout
        self.inference = inference
        self.num_classes = num_classes

    # --- maps -------------------------------------------------------------------------------

    def pyramid(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Backbone maps and the shared pyramid (C4 alone without a neck)."""
        maps = self.backbone(images)
        return maps, (maps[-1:] if self.neck is None else self.neck(maps))

    def _task_pyramids(self, maps: list[Tensor], levels: list[Tensor]) -> PerTask[RoiPyramid]:
        def make(module: nn.Module) -> RoiPyramid:
            # Once here instead of in every pooling: RoIAlign reads a channel's rows one by one.
            own = [level.contiguous() for level in module(maps, levels)[: len(self.strides)]]
            return RoiPyramid(own, self.strides, self.finest)

        return self.features.tasks.map(make)

    # --- training ---------------------------------------------------------------------------

    def losses(self, images: Tensor, targets: Targets, epoch: float = 0.0) -> dict[str, Tensor]:
        """Losses of a batch; their sum is what is minimised. Names say whose they are.

        Args:
            images: (B, 3, H, W), normalised.
            targets: of the batch; an image may have no objects.
            epoch: how many epochs are over; nothing here depends on it.
        """
        maps, levels = self.pyramid(images)
        cls, loc = self.rpn(levels)
        sizes = _sizes(images, targets.sizes)
        losses = self.rpn.losses(cls, loc, targets, sizes)
        scored = self.rpn.propose(cls, loc, sizes)
        rois = self.proposals.map(lambda task: self._sample(scored, task, targets))
        pyramids = self._task_pyramids(maps, levels)
        flat = rois.map(lambda r: r.flat())
        outputs = self.main(pyramids, flat, ("cls", "loc"))
        rows = rois.cls.rows if rois.shared else rois.cls.rows + rois.loc.rows
        own, classes = self.main_losses, self.num_classes
        losses |= branch_losses(outputs, rois, targets, own, classes, rows)
        if self.sibling is not None and self.sibling_losses is not None:
            beside, theirs = self.sibling(pyramids, flat, ("cls", "loc")), self.sibling_losses
            named = branch_losses(beside, rois, targets, theirs, classes, rows)
            losses |= {f"sibling_{name}": value for name, value in named.items()}
            pair = PerTask(own, theirs)
            losses |= constraint_losses(outputs, beside, rois, targets, pair, classes)
        if self.rounds:
            losses |= self._round_losses(pyramids, outputs, rois, targets, sizes, rows)
        return losses

    def _sample(self, scored: list[ScoredBoxes], task: TaskProposals, targets: Targets) -> Rois:
        count = task.train_count if self.training else task.test_count
        together = getattr(task, "images", 1) if self.training else 1  # one's own may not say
        boxes, valid = pad(suppressed(scored, task.nms, count, together))
        return task.sampler.sample(boxes, valid, targets)

    def _round_losses(
        self,
        pyramids: PerTask[RoiPyramid],
        outputs: PerTask[HeadOutput | None],
        rois: PerTask[Rois],
        targets: Targets,
        sizes: Tensor,
        rows: Tensor,
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        branch: nn.Module = self.main
        loss = self.main_losses.loc
        classify = any(settings.classifies for settings in self.round_settings)
        if not rois.shared and not classify:  # the cls set is not needed again
            rois, outputs = PerTask.both(rois.loc), PerTask(None, outputs.loc)
        for number, (following, settings) in enumerate(
            zip(self.rounds, self.round_settings, strict=True), start=2
        ):

            def refine(
                task: Rois,
                sampler: ProposalSampler,
                at: tuple[nn.Module, BoxLoss, PerTask[HeadOutput | None]] = (branch, loss, outputs),
                whole: PerTask[Rois] = rois,
            ) -> Rois:
                boxes = self._refine(*at, task, whole, sampler, pyramids, targets)
                usable = task.valid & ~task.truth
                return sampler.sample(clip(boxes, sizes[:, None]), usable, targets)

            drawing = settings.samplers if classify else PerTask.both(settings.samplers.loc)
            rois = rois.zip(drawing, refine)
            tasks = ("cls", "loc") if settings.classifies else ("loc",)
            outputs = following(pyramids, rois.map(lambda task: task.flat()), tasks)
            named = branch_losses(outputs, rois, targets, settings.losses, self.num_classes, rows)
            weight = settings.weight
            losses |= {f"round{number}_{name}": weight * each for name, each in named.items()}
            branch, loss = following, settings.losses.loc
        return losses

    @torch.no_grad()
    def _refine(
        self,
        branch: nn.Module,
        loss: BoxLoss,
        outputs: PerTask[HeadOutput | None],
        task: Rois,
        rois: PerTask[Rois],
        sampler: ProposalSampler,
        pyramids: PerTask[RoiPyramid],
        targets: Targets,
    ) -> Tensor:
        """(B, R, 4): a round's boxes of one task's proposals.

        Class-specific boxes are those of the label, or of the best class for background. The cls
        set's own boxes are computed here where the tasks' proposals differ. The background of a
        positive sampler goes on as it is.
        """
        output = outputs.loc
        if task is not rois.loc:
            output = branch(pyramids, PerTask.both(task.flat()), ("loc",)).loc
        labels = task.labels(targets, self.num_classes)
        logits = _logits(outputs)
        if logits is not None and task is rois.cls and not loss.class_agnostic:
            best = logits[:, :-1].argmax(dim=1)
            labels = torch.where(labels == self.num_classes, best, labels)
        boxes = decode(run_output(output), loss, labels).reshape(task.boxes.shape)
        if getattr(sampler, "only_positive", False):  # one of the user's own may not say
            return torch.where((task.matched >= 0)[..., None], boxes, task.boxes)
        return boxes

    # --- test -------------------------------------------------------------------------------

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> RoiPredictions:
        """Raw predictions for proposals.

        On meta tensors a fixed number of proposals stands in, so that costs can be counted.

        Args:
            images: (B, 3, H, W), normalised and padded.
            sizes: (B, 2), height and width before padding; by default there is none.
        """
        maps, levels = self.pyramid(images)
        cls, loc = self.rpn(levels)
        sizes = _sizes(images, sizes)
        if images.is_meta:
            counts = [COUNTED_PROPOSALS] * len(images)
            rois = images.new_empty(sum(counts), 5)
        else:
            proposals = self._test_proposals(cls, loc, sizes)
            counts = [len(boxes) for boxes in proposals]
            rois = with_index(proposals)
        scores, boxes = self._predict(self._task_pyramids(maps, levels), rois, sizes)
        return RoiPredictions(scores, boxes, counts)

    def _test_proposals(self, cls: list[Tensor], loc: list[Tensor], sizes: Tensor) -> list[Tensor]:
        task = self.proposals.cls
        scored = self.rpn.propose(cls, loc, sizes)
        return [image.suppressed(task.nms, task.test_count) for image in scored]

    def _predict(
        self, pyramids: PerTask[RoiPyramid], rois: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        last = self.readout.loc_round or len(self.rounds) + 1
        outputs = self.main(pyramids, PerTask.both(rois), self._main_tasks())
        every, losses = [outputs], [self.main_losses.loc]
        chosen, logits = self.readout.boxes_from(outputs), _logits(outputs)
        localised = [chosen]
        for number in range(2, max(last, *self.readout.cls_rounds) + 1):
            branch, settings = self.rounds[number - 2], self.round_settings[number - 2]
            boxes = decode(chosen, losses[-1], self._best_class(logits, losses[-1], rois))
            boxes = clip(boxes, sizes.to(boxes.device)[rois[:, 0].long()])
            rois = torch.cat((rois[:, :1], boxes), dim=1)
            tasks = ("cls", "loc") if settings.classifies else ("loc",)
            outputs = branch(pyramids, PerTask.both(rois), tasks)
            chosen = run_output(outputs.loc)
            logits = _logits(outputs) if settings.classifies else logits
            every.append(outputs)
            losses.append(settings.losses.loc)
            localised.append(chosen)
        scores = self.readout.scores([every[number - 1] for number in self.readout.cls_rounds])
        return scores, decode_all(localised[last - 1], losses[last - 1])

    def _main_tasks(self) -> tuple[str, ...]:
        if self.rounds or self.main.heads.shared:
            return ("cls", "loc")
        return self.readout.tasks

    @staticmethod
    def _best_class(logits: Tensor | None, loss: BoxLoss, rois: Tensor) -> Tensor:
        if logits is None or loss.class_agnostic:
            return torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
        return logits[:, :-1].argmax(dim=1)

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
        return [self._detect_one(*image) for image in zip(scores, boxes, sizes, strict=True)]

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
        if self.sibling is not None:
            parts["sibling"] = self.sibling
        return parts | {f"round {n}": branch for n, branch in enumerate(self.rounds, start=2)}


def _sizes(images: Tensor, sizes: Tensor | None) -> Tensor:
    """(B, 2), height and width before padding; by default there is none."""
    if sizes is not None:
        return sizes
    return torch.tensor([images.shape[-2:]] * len(images), device=images.device)


def _logits(outputs: PerTask[HeadOutput | None]) -> Tensor | None:
    return None if outputs.cls is None else outputs.cls.logits
