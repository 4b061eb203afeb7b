"""RoI detectors from resolved recipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from detbench.assembly import contract
from detbench.assembly.common import make, per_task
from detbench.backbones.fpn import Fpn
from detbench.detectors.branch import Branch, Predicts
from detbench.detectors.extras.mask import Mask
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
from detbench.ops.roi_pooling import FINEST, Bins
from detbench.pertask import PerTask
from detbench.recipe import masks
from detbench.recipe import model as spec
from detbench.recipe import proposals as proposal
from detbench.recipe import roi as option
from detbench.recipe.base import Custom, PerTaskSpec
from detbench.recipe.detector import Roi
from detbench.stages.assignment.iou import IouAssigner
from detbench.stages.initial import OutputInit
from detbench.stages.sampling.shifted import Embedding
from detbench.stages.supervision.roi import Constraint


def build_roi(settings: Roi, num_classes: int) -> RoiDetector:
    """Build an RoI detector; see ``assembly.build_detector``."""
    _check(settings)
    stages = 3 if isinstance(settings.neck, spec.C4) else 4
    check = partial(contract.backbone, maps=stages)
    backbone = make(settings.backbone, check, {"stages": stages})
    neck: Fpn | None = None
    strides = [16]
    if isinstance(settings.neck, spec.Fpn):
        strides = [2 ** (settings.neck.first + level) for level in range(settings.neck.levels)]
        neck = make(settings.neck, inputs=backbone.channels[settings.neck.first - 2 :])
    channels = backbone.channels[-1] if neck is None else neck.channels
    pooled = strides if neck is None else strides[: len(neck.lateral)]
    branches = _BranchMaker(settings, backbone, channels, num_classes, pooled)
    proposals = per_task(settings.assignment, partial(_proposals, rounds=bool(settings.rounds)))
    rpn = _rpn(settings.rpn, channels, strides)
    check = partial(
        contract.roi_features,
        widths=backbone.channels,
        channels=channels,
        levels=len(strides),
        pooled=len(pooled),
    )
    wiring = {"backbone": backbone, "neck": neck}
    context = {"check": check, "wiring": wiring, "channels": backbone.channels}
    features = per_task(settings.features, partial(make, **context))
    return RoiDetector(
        trunk=Trunk(backbone, neck, TaskModules(features), pooled, settings.finest_scale or FINEST),
        rpn=rpn,
        proposals=proposals,
        stages=_stages(settings, proposals, branches),
        readout=Readout(**settings.readout.model_dump()),
        inference=RoiInference(**settings.inference.model_dump(exclude={"views"})),
    )


def _stages(
    settings: Roi, proposals: PerTask[TaskProposals], branches: _BranchMaker
) -> list[Stage]:
    """The main stage and the rounds, each with what is beside it."""
    main = branches(settings.sampling, settings.heads, settings.supervision)
    samplers = proposals.map(lambda task: task.sampler)
    extras = _extras(settings.sibling, settings.supervision.constraint, branches)
    stages = [Stage(main, samplers, _losses(settings.supervision), extras=extras)]
    rounds = enumerate(settings.rounds, 2)
    stages += [_round(number, each, branches, proposals) for number, each in rounds]
    if (mask := settings.mask) is not None:
        with_mask = stages if mask.stages == "each" else stages[-1:]
        heads = [branches.mask(mask, 1 / len(with_mask)) for _ in with_mask]
        stages[-len(heads) :] = [
            replace(stage, extras={**stage.extras, "mask": head})
            for stage, head in zip(with_mask, heads, strict=True)
        ]
    return stages


def _extras(
    sibling: option.Branch | None,
    constraint: option.ProgressiveConstraint | None,
    branches: _BranchMaker,
) -> dict[str, Extra]:
    """What is beside a stage's branch, by name."""
    if sibling is None:
        return {}
    branch = branches(sibling.sampling, sibling.heads, sibling.supervision)
    return {"sibling": Sibling(branch, _losses(sibling.supervision), _constraint(constraint))}


def _round(
    number: int, settings: option.Round, branches: _BranchMaker, proposals: PerTask[TaskProposals]
) -> Stage:
    """A round; where none classifies again, proposals of the loc task alone go through all."""
    samplers = proposals.map(lambda task: task.sampler.at(settings.positive))
    if not any(each.tasks == "both" for each in branches.settings.rounds):
        samplers = PerTask.both(samplers.loc)
    return Stage(
        branch=branches.round(settings),
        samplers=samplers,
        supervision=_losses(settings.supervision),
        weight=settings.weight,
        prefix=f"round{number}_",
        extras=_extras(settings.sibling, settings.constraint, branches),
    )


class _BranchMaker:
    """Makes the branches of one detector, which share its pyramid and classes."""

    def __init__(
        self, settings: Roi, backbone: Any, channels: int, classes: int, strides: list[int]
    ) -> None:
        self.settings = settings
        self.backbone = backbone
        self.strides = strides
        self.channels = channels
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
        sampled = settings.sampling or self.settings.sampling
        classifies = settings.tasks == "both"
        return self(sampled, settings.heads, settings.supervision, classifies)

    def mask(self, settings: masks.Mask, share: float) -> Mask:
        """A stage's mask head, of which ``share`` is taken at test."""
        head = make(
            settings.head,
            inputs=self.channels,
            classes=self.classes,
            class_agnostic=settings.class_agnostic,
        )
        return Mask(head, make(settings.sampling).bins, settings.weight, share)

    def _embedding(self, sampled: PerTaskSpec[Any], samplers: PerTask[Any]) -> Embedding | None:
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
        bins = Bins(size, 1.0, reads.samples or 0, reads.aligned is not False)
        return Embedding(self.channels, bins, hidden, init or "kaiming-normal")

    def _sampling(self, settings: option.RoiSampling) -> Any:
        check = partial(contract.sampling, channels=self.channels, strides=self.strides)
        return make(settings, check, channels=self.channels)

    def _head(self, settings: option.RoiHead, size: int) -> Any:
        check = partial(contract.roi_head, inputs=self.channels, size=size)
        wiring = {"backbone": self.backbone}
        return make(settings, check, wiring, inputs=self.channels, size=size)


def _check(settings: Roi) -> None:
    mistakes = list(_unfounded(settings))
    constraints = {"supervision": (settings.supervision.constraint, settings.sibling)}
    for number, each in enumerate(settings.rounds):
        constraints[f"rounds.{number}"] = each.constraint, each.sibling
    mistakes += [
        f"{path}.constraint: compares with a sibling branch; give 'sibling'"
        for path, (constraint, sibling) in constraints.items()
        if constraint is not None and sibling is None
    ]
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


def _unfounded(settings: Roi) -> Iterator[str]:
    """Options that stand on a network that is not there."""
    on_resnet = isinstance(settings.backbone, spec.ResNet)
    if option.Own in per_task(settings.features, type):
        if not isinstance(settings.neck, spec.Fpn):
            yield "features: 'own' needs a pyramid; give a neck of kind 'fpn'"
        if not on_resnet:
            yield "features: 'own' copies stages of a backbone of kind 'resnet'"
    heads = [settings.heads, *(each.heads for each in settings.rounds)]
    siblings = [settings.sibling, *(each.sibling for each in settings.rounds)]
    heads += [each.heads for each in siblings if each is not None]
    on_c4 = on_resnet and isinstance(settings.neck, spec.C4)
    if not on_c4 and any(option.Res5 in per_task(pair, type) for pair in heads):
        yield "heads: 'res5' is the last stage of a ResNet, on a neck of kind 'c4'"


def _rpn(settings: proposal.Rpn, channels: int, strides: list[int]) -> Rpn:
    return Rpn(
        channels,
        settings.channels,
        make(settings.anchors),
        strides,
        RpnSettings(
            assigner=IouAssigner(
                settings.positive,
                settings.negative,
                settings.min_positive,
                match_low_quality=True,
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


def _proposals(settings: proposal.RoiAssignment, rounds: bool) -> Any:
    wiring = {}
    if isinstance(settings, proposal.Proposals):
        wiring["sampler"] = make(
            settings.sampler, positive=settings.positive, negative=settings.negative
        )
    return make(settings, partial(contract.proposals, rounds=rounds), wiring)


def _losses(settings: option.RoiSupervision) -> BranchLosses:
    unfocused = settings.unfocused
    return BranchLosses(
        cls=make(settings.cls),
        loc=make(settings.loc),
        unfocused=None if unfocused is None else PerTask(unfocused.cls, unfocused.loc),
        divisor=settings.loc.normaliser,
    )


def _constraint(settings: option.ProgressiveConstraint | None) -> Constraint:
    settings = settings or option.ProgressiveConstraint()
    margins = PerTask(settings.cls_margin, settings.loc_margin)
    return Constraint(margins, settings.without_positives or "as-others")


def _init(settings: option.CrossEntropy | option.BoxLoss, usual: float) -> OutputInit:
    return usual if settings.init is None else settings.init
