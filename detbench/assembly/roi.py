"""RoI detectors from resolved recipes. One ``match`` per stage."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from detbench.assembly import contract
from detbench.assembly.common import backbone_of, custom, given, grid_of, neck_of, per_task
from detbench.backbones.fpn import Fpn
from detbench.backbones.resnet import ResNet, kept_in_eval
from detbench.detectors.branch import Branch, Predicts
from detbench.detectors.extras.sibling import Sibling
from detbench.detectors.readout import Readout
from detbench.detectors.roi import RoiDetector
from detbench.detectors.roi_losses import BranchLosses
from detbench.detectors.roi_settings import RoiInference, TaskProposals, Trunk
from detbench.detectors.rpn import Rpn, RpnSettings
from detbench.detectors.stage import Extra, Stage
from detbench.detectors.tasks import TaskModules
from detbench.errors import RecipeError
from detbench.ops.coding import Delta
from detbench.ops.roi_pooling import FINEST
from detbench.pertask import PerTask
from detbench.recipe import model as spec
from detbench.recipe import roi as option
from detbench.recipe.base import Custom, PerTaskSpec
from detbench.recipe.detector import Roi
from detbench.recipe.stages import Level
from detbench.stages import heads, sampling
from detbench.stages.assignment import IouAssigner
from detbench.stages.assignment.proposals import ProposalSampler
from detbench.stages.features.own import Own, Shared
from detbench.stages.initial import OutputInit
from detbench.stages.supervision.roi import BoxLoss, Constraint, CrossEntropy


def build_roi(settings: Roi, num_classes: int) -> RoiDetector:
    """Build an RoI detector; see ``assembly.build_detector``."""
    _check(settings)
    on_c4 = isinstance(settings.neck, spec.C4)
    backbone = backbone_of(settings.backbone, stages=3 if on_c4 else 4)
    neck: Fpn | None = None
    if isinstance(settings.neck, spec.Fpn):
        neck = neck_of(settings.neck, backbone.channels[settings.neck.first - 2 :])
    channels = backbone.channels[-1] if neck is None else neck.channels
    strides = [16]
    if isinstance(settings.neck, spec.Fpn):
        strides = [2 ** (settings.neck.first + level) for level in range(settings.neck.levels)]
    pooled = strides if neck is None else strides[: len(neck.lateral)]
    make = _BranchMaker(settings, channels, backbone.channels[-1], num_classes, pooled)
    proposals = per_task(settings.assignment, partial(_proposals, rounds=bool(settings.rounds)))
    rpn = _rpn(settings.rpn, channels, strides)
    features = per_task(settings.features, _features_maker(backbone, neck, len(strides)))
    return RoiDetector(
        trunk=Trunk(backbone, neck, TaskModules(features), pooled, settings.finest_scale or FINEST),
        rpn=rpn,
        proposals=proposals,
        stages=_stages(settings, proposals, make),
        readout=Readout(**settings.readout.model_dump()),
        inference=RoiInference(**settings.inference.model_dump()),
    )


def _stages(settings: Roi, proposals: PerTask[TaskProposals], make: _BranchMaker) -> list[Stage]:
    """The main stage with what is beside it, then the rounds."""
    main = make(settings.sampling, settings.heads, settings.supervision)
    samplers, extras = proposals.map(lambda task: task.sampler), dict[str, Extra]()
    if settings.sibling is not None:
        beside, constraint = settings.sibling, _constraint(settings.supervision.constraint)
        branch = make(beside.sampling, beside.heads, beside.supervision)
        extras["sibling"] = Sibling(branch, _losses(beside.supervision), constraint)
    stages = [Stage(main, samplers, _losses(settings.supervision), extras=extras)]
    return stages + [_round(n, each, make, proposals) for n, each in enumerate(settings.rounds, 2)]


def _round(
    number: int, settings: option.Round, make: _BranchMaker, proposals: PerTask[TaskProposals]
) -> Stage:
    """A round; where none classifies again, proposals of the loc task alone go through all."""
    samplers = proposals.map(lambda task: task.sampler.at(settings.positive))
    if not any(each.tasks == "both" for each in make.settings.rounds):
        samplers = PerTask.both(samplers.loc)
    return Stage(
        branch=make.round(settings),
        samplers=samplers,
        supervision=_losses(option.RoiSupervision(loc=settings.loc)),
        weight=settings.weight,
        prefix=f"round{number}_",
    )


class _BranchMaker:
    """Makes the branches of one detector, which share its pyramid and classes."""

    def __init__(
        self, settings: Roi, channels: int, c4: int, classes: int, strides: list[int]
    ) -> None:
        self.settings = settings
        self.strides = strides
        self.channels = channels
        self.c4 = c4
        self.classes = classes

    def __call__(
        self,
        sampled: PerTaskSpec[Any],
        made_of: PerTaskSpec[Any],
        supervision: option.RoiSupervision,
        classifies: bool = True,
    ) -> Branch:
        samplers = per_task(sampled, self._sampling)
        embedding = self._embedding(sampled, samplers)
        sizes = {sampler.size for sampler in samplers}
        if made_of.shared and len(sizes) > 1 and isinstance(made_of.both, option.Fc | Custom):
            raise RecipeError(
                f"heads.both: a shared head reads regions of one size, but sampling.cls gives "
                f"{samplers.cls.size} and sampling.loc {samplers.loc.size}"
            )
        cls = self._head(made_of.of("cls"), samplers.cls.size)
        loc = self._head(made_of.of("loc"), samplers.loc.size)
        branch_heads = PerTask(cls, loc)
        if made_of.shared or not classifies:
            branch_heads = PerTask.both(cls if made_of.shared else loc)
        return Branch(
            TaskModules(samplers),
            TaskModules(branch_heads),
            embedding,
            Predicts(
                self.classes,
                supervision.loc.outputs(self.classes),
                Delta(supervision.loc.stds),
                PerTask(_init(supervision.cls, 0.01), _init(supervision.loc, 0.001)),
                unfocused=supervision.unfocused is not None,
                classifies=classifies,
            ),
        )

    def round(self, settings: option.Round) -> Branch:
        supervision = option.RoiSupervision(loc=settings.loc)
        sampled = settings.sampling or self.settings.sampling
        return self(sampled, settings.heads, supervision, classifies=settings.tasks == "both")

    def _embedding(
        self, sampled: PerTaskSpec[Any], samplers: PerTask[Any]
    ) -> sampling.Embedding | None:
        pairs = ((sampled.of("cls"), samplers.cls), (sampled.of("loc"), samplers.loc))
        shifting = [pair for pair in pairs if getattr(pair[1], "shifts", False)]
        if not shifting:
            return None
        sizes = {(made.size, made.hidden) for _, made in shifting}
        # Modules of one's own leave these to the other task.
        looks = {(each.init, each.reads) for each, _ in shifting if not isinstance(each, Custom)}
        if len(sizes) > 1 or len(looks) > 1:
            raise RecipeError(
                "sampling: cls and loc share the first layer of their shift networks, so their "
                "'size', 'hidden', 'init' and 'reads' must agree"
            )
        size, hidden = sizes.pop()
        init, reads = looks.pop() if looks else (None, None)
        reads = reads or option.Reads()
        how = (size, 1.0, reads.samples or 0, reads.aligned is not False, False)
        return sampling.Embedding(self.channels, how, hidden, init or "kaiming-normal")

    def _sampling(self, settings: option.RoiSampling) -> nn.Module:
        match settings:
            case option.RoiAlign():
                return sampling.Align(**given(settings))
            case option.Pointwise():
                return sampling.Pointwise(**given(settings, but={"reads"}))
            case option.Translated():
                return sampling.Translated(**given(settings, but={"reads"}))
            case Custom():
                made = custom(settings, ("size",), channels=self.channels)
                contract.sampling(settings, made, self.channels, self.strides)
                return made

    def _head(self, settings: option.RoiHead, size: int) -> Any:
        match settings:
            case option.Fc():
                return heads.Fc(self.channels, size, **given(settings))
            case option.Conv():
                return heads.Conv(self.channels, **given(settings))
            case option.Res5():
                return self._res5()
            case Custom():
                made = custom(settings, ("channels",), inputs=self.channels, size=size)
                contract.roi_head(settings, made, self.channels, size)
                return made

    def _res5(self) -> heads.Res5:
        backbone = self.settings.backbone
        if not isinstance(backbone, spec.ResNet) or not isinstance(self.settings.neck, spec.C4):
            raise RecipeError("heads: 'res5' is the last stage of a ResNet, on a neck of kind 'c4'")
        left_out = {"kind", "weights", "frozen_stages", "deformable"}
        settings = backbone.model_dump(exclude=left_out)
        return heads.Res5(self.c4, **settings, frozen=backbone.frozen_stages >= 4)


def _check(settings: Roi) -> None:
    mistakes = []
    constraint = settings.supervision.constraint
    if constraint is not None and settings.sibling is None:
        mistakes.append("supervision.constraint: compares with a sibling branch; give 'sibling'")
    if settings.supervision.unfocused is not None and settings.heads.shared:
        mistakes.append("supervision.unfocused: needs two heads; give heads.cls and heads.loc")
    two_heads = settings.supervision.unfocused is not None or settings.heads.shared
    if settings.readout.cls != "cls" and not two_heads:
        mistakes.append(
            f"readout.cls: {settings.readout.cls!r} needs scores of the loc head; "
            "give supervision.unfocused"
        )
    if settings.readout.loc != "loc" and not two_heads:
        mistakes.append(
            "readout.loc: 'cls' needs boxes of the cls head; give supervision.unfocused"
        )
    last = 1 + len(settings.rounds)
    scored = {1} | {
        number for number, each in enumerate(settings.rounds, 2) if each.tasks == "both"
    }
    mistakes += [
        f"readout.cls_rounds: round {number} has no scores of its own"
        for number in settings.readout.cls_rounds
        if number not in scored
    ]
    if settings.readout.loc_round is not None and settings.readout.loc_round > last:
        mistakes.append(f"readout.loc_round: there are {last} rounds, the main branch included")
    if mistakes:
        raise RecipeError(mistakes)


def _rpn(settings: option.Rpn, channels: int, strides: list[int]) -> Rpn:
    return Rpn(
        channels,
        settings.channels,
        grid_of(settings.anchors),
        strides,
        RpnSettings(
            assigner=IouAssigner(
                settings.positive,
                settings.negative,
                settings.min_positive,
                own_best=settings.weak == "own-best",
                late=settings.outside == "matched",
            ),
            samples=settings.samples,
            fraction=settings.fraction,
            border=settings.border,
            beta=settings.beta,
            train_candidates=settings.train_candidates,
            test_candidates=settings.test_candidates,
            empty=settings.empty or "dropped",
        ),
        settings.init,
    )


def _features_maker(
    backbone: Any, neck: Fpn | None, levels: int
) -> Callable[[option.RoiFeatures], nn.Module]:
    def make(chosen: option.RoiFeatures) -> nn.Module:
        match chosen:
            case Level():
                return Shared()
            case option.Own():
                if neck is None:
                    raise RecipeError("features: 'own' needs a pyramid; give a neck of kind 'fpn'")
                if not isinstance(backbone, ResNet):
                    raise RecipeError(
                        "features: 'own' copies stages of a backbone of kind 'resnet'"
                    )
                return _own(backbone, neck, round(math.log2(chosen.stride)) - 1)
            case Custom():
                made = custom(chosen, channels=backbone.channels)
                width = backbone.channels[-1] if neck is None else neck.channels
                pooled = 1 if neck is None else len(neck.lateral)
                contract.roi_features(chosen, made, backbone.channels, width, levels, pooled)
                return made

    return make


def _own(backbone: Any, neck: Fpn, first: int) -> Own:
    """Copies of the backbone's stages from ``first`` on (C2 is 0) and of the pyramid."""
    stages = list(backbone.stages)[first:]
    names = {id(module): name for name, module in backbone.named_modules()}
    backbone.train()
    return Own(
        stages=nn.ModuleList(copy.deepcopy(stage) for stage in stages),
        names=[names[id(stage)] for stage in stages],
        neck=copy.deepcopy(neck),
        first=first,
        kept=[kept_in_eval(stage) for stage in stages],
    )


def _proposals(settings: option.RoiAssignment, rounds: bool) -> Any:
    match settings:
        case option.Proposals():
            sampler = settings.sampler
            only_positive = isinstance(sampler, option.PositiveSampler)
            return TaskProposals(
                nms=settings.nms,
                train_count=settings.train_count,
                test_count=settings.test_count,
                images=settings.images or 1,
                sampler=ProposalSampler(
                    positive=settings.positive,
                    negative=settings.negative,
                    count=sampler.count,
                    fraction=getattr(sampler, "fraction", 1.0),
                    add_ground_truth=sampler.add_ground_truth,
                    only_positive=only_positive,
                ),
            )
        case Custom():
            needs = ("nms", "train_count", "test_count", "sampler")
            made = custom(settings, needs)
            contract.proposals(settings, made, rounds)
            return made


def _losses(settings: option.RoiSupervision) -> BranchLosses:
    unfocused = settings.unfocused
    return BranchLosses(
        cls=CrossEntropy(settings.cls.weight),
        loc=BoxLoss(settings.loc.beta, settings.loc.weight),
        unfocused=None if unfocused is None else PerTask(unfocused.cls, unfocused.loc),
        divisor=settings.loc.normaliser,
    )


def _constraint(settings: option.ProgressiveConstraint | None) -> Constraint:
    settings = settings or option.ProgressiveConstraint()
    margins = PerTask(settings.cls_margin, settings.loc_margin)
    return Constraint(margins, settings.without_positives or "as-others")


def _init(settings: option.CrossEntropy | option.BoxLoss, usual: float) -> OutputInit:
    return usual if settings.init is None else settings.init
