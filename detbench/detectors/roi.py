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
from detbench.detectors.roi_settings import (
    BranchLosses,
    RoiInference,
    RoiPredictions,
    RoundSettings,
    TaskProposals,
)
from detbench.detectors.rpn import Rpn, ScoredBoxes
from detbench.detectors.tasks import TaskModules
from detbench.ops.boxes import clip
from detbench.ops.soft_suppression import soft_suppress
from detbench.ops.suppression import best_pairs, suppress
from detbench.pertask import PerTask
from detbench.stages.assignment.sampling import ProposalSampler, Rois, pad
from detbench.stages.sampling import RoiPyramid
from detbench.stages.supervision.roi import BoxLoss, constraint_cls, constraint_loc
from detbench.structures import Detections, Targets

COUNTED_PROPOSALS = 1000


class RoiDetector(nn.Module):
    """An RoI detector put together from its stages.

    Args:
        backbone, neck: images to maps; ``neck`` is none on C4.
        rpn, proposals: proposals from the shared pyramid, and which of them each task takes.
        features, strides: per task the pyramid it pools from, and the strides of its maps.
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
        self.proposals = proposals
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
            return RoiPyramid(own, self.strides)

        return self.features.tasks.map(make)

    # --- training ---------------------------------------------------------------------------

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Losses of a batch; their sum is what is minimised. Names say whose they are.

        Args:
            images: (B, 3, H, W), normalised.
            targets: of the batch; an image may have no objects.
        """
        maps, levels = self.pyramid(images)
        cls, loc = self.rpn(levels)
        size = (images.shape[-2], images.shape[-1])
        losses = self.rpn.losses(cls, loc, targets, size)
        sizes = targets.sizes
        if sizes is None:
            sizes = torch.tensor([size] * len(images), device=images.device)
        scored = self.rpn.propose(cls, loc, sizes)
        rois = self.proposals.map(lambda task: self._sample(scored, task, targets))
        pyramids = self._task_pyramids(maps, levels)
        flat = rois.map(lambda r: r.flat())
        outputs = self.main(pyramids, flat, ("cls", "loc"))
        rows = rois.cls.rows if rois.shared else rois.cls.rows + rois.loc.rows
        losses |= self._branch_losses(outputs, rois, targets, self.main_losses, "", rows)
        if self.sibling is not None:
            assert self.sibling_losses is not None
            beside = self.sibling(pyramids, flat, ("cls", "loc"))
            losses |= self._branch_losses(
                beside, rois, targets, self.sibling_losses, "sibling_", rows
            )
            losses |= self._constraint(outputs, beside, rois, targets)
        if self.rounds:
            losses |= self._round_losses(pyramids, outputs, rois, targets, sizes, rows)
        return losses

    def _sample(self, scored: list[ScoredBoxes], task: TaskProposals, targets: Targets) -> Rois:
        count = task.train_count if self.training else task.test_count
        boxes, valid = pad([image.suppressed(task.nms, count) for image in scored])
        return task.sampler.sample(boxes, valid, targets)

    def _branch_losses(
        self,
        outputs: PerTask[HeadOutput | None],
        rois: PerTask[Rois],
        targets: Targets,
        settings: BranchLosses,
        prefix: str,
        both_rows: Tensor,
    ) -> dict[str, Tensor]:
        total = both_rows if settings.over_both else rois.loc.rows

        def classify(output: HeadOutput | None, task: Rois) -> Tensor:
            assert output is not None
            assert output.logits is not None
            labels = task.labels(targets, self.num_classes)
            return settings.cls(output.logits, labels, task.valid.flatten())

        def localise(output: HeadOutput | None, task: Rois) -> Tensor:
            assert output is not None
            assert output.deltas is not None
            return settings.loc(
                output.deltas,
                output.references,
                task.goals(targets),
                task.labels(targets, self.num_classes),
                task.positive,
                total,
            )

        losses = {f"{prefix}loc": localise(outputs.loc, rois.loc)}
        if outputs.cls is not None and outputs.cls.logits is not None:
            losses[f"{prefix}cls"] = classify(outputs.cls, rois.cls)
        if settings.unfocused is not None:
            weights = settings.unfocused
            losses[f"{prefix}unfocused_cls"] = weights.cls * classify(outputs.loc, rois.loc)
            losses[f"{prefix}unfocused_loc"] = weights.loc * localise(outputs.cls, rois.cls)
        return losses

    def _constraint(
        self,
        main: PerTask[HeadOutput | None],
        sibling: PerTask[HeadOutput | None],
        rois: PerTask[Rois],
        targets: Targets,
    ) -> dict[str, Tensor]:
        margins, losses = self.main_losses.margins, {}
        if margins.cls is not None:
            labels = rois.cls.labels(targets, self.num_classes)
            assert main.cls is not None
            assert sibling.cls is not None
            assert main.cls.logits is not None
            assert sibling.cls.logits is not None
            losses["constraint_cls"] = constraint_cls(
                sibling.cls.logits, main.cls.logits, labels, rois.cls.valid.flatten(), margins.cls
            )
        if margins.loc is not None:
            labels = rois.loc.labels(targets, self.num_classes)
            assert self.sibling_losses is not None
            losses["constraint_loc"] = constraint_loc(
                self._decode(sibling.loc, self.sibling_losses.loc, labels),
                self._decode(main.loc, self.main_losses.loc, labels),
                rois.loc.goals(targets),
                rois.loc.positive,
                margins.loc,
            )
        return losses

    @staticmethod
    def _decode(output: HeadOutput | None, loss: BoxLoss, labels: Tensor) -> Tensor:
        assert output is not None
        assert output.deltas is not None
        deltas = loss.of_class(output.deltas.float(), labels)
        return loss.code.decode(deltas, output.references)

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
                boxes = self._refine(*at, task, whole, pyramids, targets)
                usable = task.valid & ~task.truth
                return sampler.sample(clip(boxes, sizes[:, None]), usable, targets)

            samplers = settings.samplers if classify else PerTask.both(settings.samplers.loc)
            rois = rois.zip(samplers, refine)
            tasks = ("cls", "loc") if settings.classifies else ("loc",)
            outputs = following(pyramids, rois.map(lambda task: task.flat()), tasks)
            named = self._branch_losses(
                outputs, rois, targets, settings.losses, f"round{number}_", rows
            )
            losses |= {name: settings.weight * value for name, value in named.items()}
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
        pyramids: PerTask[RoiPyramid],
        targets: Targets,
    ) -> Tensor:
        """(B, R, 4): a round's boxes of one task's proposals.

        Class-specific boxes are those of the label, or of the best class for background. The cls
        set's own boxes are computed here where the tasks' proposals differ.
        """
        output = outputs.loc
        if task is not rois.loc:
            output = branch(pyramids, PerTask.both(task.flat()), ("loc",)).loc
        labels = task.labels(targets, self.num_classes)
        logits = _logits(outputs)
        if logits is not None and task is rois.cls and not loss.class_agnostic:
            best = logits[:, :-1].argmax(dim=1)
            labels = torch.where(labels == self.num_classes, best, labels)
        return self._decode(output, loss, labels).reshape(task.boxes.shape)

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
        if sizes is None:
            sizes = torch.tensor([images.shape[-2:]] * len(images), device=images.device)
        if images.is_meta:
            counts = [COUNTED_PROPOSALS] * len(images)
            rois = images.new_empty(sum(counts), 5)
        else:
            proposals = self._test_proposals(cls, loc, sizes)
            counts = [len(boxes) for boxes in proposals]
            rois = _with_index(proposals)
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
            boxes = self._decode(chosen, losses[-1], self._best_class(logits, losses[-1], rois))
            boxes = clip(boxes, sizes.to(boxes.device)[rois[:, 0].long()])
            rois = torch.cat((rois[:, :1], boxes), dim=1)
            tasks = ("cls", "loc") if settings.classifies else ("loc",)
            outputs = branch(pyramids, PerTask.both(rois), tasks)
            assert outputs.loc is not None
            chosen, logits = outputs.loc, _logits(outputs) if settings.classifies else logits
            every.append(outputs)
            losses.append(settings.losses.loc)
            localised.append(chosen)
        scores = self.readout.scores([every[number - 1] for number in self.readout.cls_rounds])
        return scores, self._all_boxes(localised[last - 1], losses[last - 1])

    def _main_tasks(self) -> tuple[str, ...]:
        if self.rounds or self.main.heads.shared:
            return ("cls", "loc")
        return self.readout.tasks

    @staticmethod
    def _best_class(logits: Tensor | None, loss: BoxLoss, rois: Tensor) -> Tensor:
        if logits is None or loss.class_agnostic:
            return torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
        return logits[:, :-1].argmax(dim=1)

    @staticmethod
    def _all_boxes(output: HeadOutput, loss: BoxLoss) -> Tensor:
        assert output.deltas is not None
        deltas = output.deltas.float()
        if loss.class_agnostic:
            return loss.code.decode(deltas, output.references)
        shaped = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
        return loss.code.decode(shaped, output.references[:, None])

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


def _logits(outputs: PerTask[HeadOutput | None]) -> Tensor | None:
    return None if outputs.cls is None else outputs.cls.logits


def _with_index(boxes: list[Tensor]) -> Tensor:
    """Each image's (n, 4) boxes to (K, 5)."""
    return torch.cat(
        [
            torch.cat((image.new_full((len(image), 1), float(index)), image), dim=1)
            for index, image in enumerate(boxes)
        ]
    )
