"""A branch of an RoI detector: sampling, heads and outputs of the two tasks.

pyramid, proposals ─┬─ sampling.cls ─ heads.cls ─ scores (and boxes, if unfocused)
                    └─ sampling.loc ─ heads.loc ─ boxes (and scores, if unfocused)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from detbench.detectors.tasks import TaskModules
from detbench.ops.coding import Delta
from detbench.pertask import TASKS, PerTask
from detbench.stages.classes import ClassRows
from detbench.stages.initial import OutputInit, output
from detbench.stages.sampling import Pooled, Regions
from detbench.stages.sampling.shifted import Embedding
from detbench.stages.supervision.roi import BoxDeltas


@dataclass(frozen=True)
class BranchOutputs:
    """Outputs of a branch for K proposals, by the head that predicts them: ``cls`` or ``loc``.

    A head is absent if it was not run, or does not predict that task.

    Attributes:
        logits: (K, C + 1), background last.
        boxes: of each proposal.
    """

    logits: dict[str, Tensor]
    boxes: dict[str, BoxDeltas]


@dataclass(frozen=True)
class Predicts:
    """What a branch predicts.

    Attributes:
        classes: without background.
        box_outputs: 4, or 4 per class, or 4 more for the background.
        code: of the boxes.
        init: how the layers that predict start, see ``stages.initial``.
        unfocused: each task's head also predicts the other task.
        classifies: false for a loc-only round, which has no scores.
    """

    classes: int
    box_outputs: int
    code: Delta
    init: PerTask[OutputInit]
    unfocused: bool
    classifies: bool


class Branch(nn.Module):
    """One branch.

    Args:
        sampling, heads: per task.
        embedding: first layer of the shift networks, if an option of sampling shifts.
        predicts: what the layers behind the heads say.
    """

    def __init__(
        self,
        sampling: TaskModules,
        heads: TaskModules,
        embedding: Embedding | None,
        predicts: Predicts,
    ) -> None:
        super().__init__()
        self.sampling = sampling
        self.heads = heads
        self.embedding = embedding
        self.predicts = predicts
        self.tasks = TASKS if predicts.classifies else ("loc",)
        widths: PerTask[int] = heads.tasks.map(lambda head: head.channels)  # type: ignore[arg-type,return-value]
        logits, boxes, init = predicts.classes + 1, predicts.box_outputs, predicts.init
        self.cls = output(widths.cls, logits, init.cls) if predicts.classifies else None
        self.loc = output(widths.loc, boxes, init.loc)
        self.unfocused_cls = output(widths.loc, logits, init.cls) if predicts.unfocused else None
        self.unfocused_loc = output(widths.cls, boxes, init.loc) if predicts.unfocused else None

    def per_class(self) -> dict[str, ClassRows]:
        """Rows of the classes: a score, or the four sides of a box; the background's come last."""
        layers = {"cls": 1, "unfocused_cls": 1}
        if self.predicts.box_outputs > 4 or self.predicts.classes == 1:
            layers |= {"loc": 4, "unfocused_loc": 4}
        return {
            f"{name}.{kind}": ClassRows(inner=inner)
            for name, inner in layers.items()
            if getattr(self, name) is not None
            for kind in ("weight", "bias")
        }

    def forward(self, regions: PerTask[Regions], run: Sequence[str] = ()) -> BranchOutputs:
        """Outputs of the heads to ``run``, by default all; shared work is done once."""
        run = run or self.tasks
        options, heads = self.sampling.tasks, self.heads.tasks
        if len(run) == 1:
            regions, options, heads = (_only(run[0], each) for each in (regions, options, heads))
        pooled = self.pool(regions, options)
        vectors = heads.zip(pooled, lambda head, at: head(at.features))
        groups = [run] if vectors.shared else [(head,) for head in run]
        outputs = BranchOutputs({}, {})
        for group in groups:
            vector, at = getattr(vectors, group[0]), getattr(pooled, group[0]).boxes
            to_cls, to_loc = self._layers(group[0])
            if to_cls is not None:
                outputs.logits.update(dict.fromkeys(group, to_cls(vector)))
            if to_loc is not None:
                boxes = BoxDeltas(to_loc(vector), at, self.predicts.code)
                outputs.boxes.update(dict.fromkeys(group, boxes))
        return outputs

    def pool(
        self, regions: PerTask[Regions], options: PerTask[nn.Module] | None = None
    ) -> PerTask[Pooled]:
        """What each task's ``options`` of sampling, by default the branch's, read of regions."""
        options = self.sampling.tasks if options is None else options
        shifts = options.map(lambda option: bool(getattr(option, "shifts", False)))
        return options.zip(regions.zip(shifts, self._embed), _pool)

    def _embed(self, regions: Regions, shifts: bool) -> tuple[Regions, Tensor | None]:
        """Regions with the embedding that options which shift them read."""
        if self.embedding is None or not shifts:
            return regions, None
        return regions, self.embedding(*regions)

    def _layers(self, head: str) -> tuple[nn.Linear | None, nn.Linear | None]:
        """The layers behind a head that predict the class, and the box."""
        if self.heads.shared:
            return self.cls, self.loc
        if head == "cls":
            return self.cls, self.unfocused_loc
        return self.unfocused_cls, self.loc


def _only(task: str, pair: PerTask[Any]) -> PerTask[Any]:
    """Those of ``task`` alone."""
    return PerTask.both(getattr(pair, task))


def _pool(option: nn.Module, embedded: tuple[Regions, Tensor | None]) -> Pooled:
    regions, embedding = embedded
    pooled: Pooled = option(*regions, embedding)
    return pooled


def branch_parts(branch: Branch) -> dict[str, nn.Module]:
    """The branch's modules by what they serve, each once."""
    parts: dict[str, nn.Module] = {}
    shared: list[nn.Module] = [] if branch.embedding is None else [branch.embedding]
    if branch.sampling.shared and not branch.heads.shared and list(branch.sampling.parameters()):
        shared.append(branch.sampling)
    if shared:
        parts["shared sampling"] = nn.ModuleList(shared)
    if branch.heads.shared:
        parts["shared head"] = nn.ModuleList([branch.sampling, branch.heads])
    for task in ("cls", "loc"):
        other = "loc" if task == "cls" else "cls"
        modules = [getattr(branch, task), getattr(branch, f"unfocused_{other}")]
        if not branch.heads.shared:
            own = [branch.heads] if branch.sampling.shared else [branch.heads, branch.sampling]
            modules += [getattr(each, task) for each in own]
        parts[task] = nn.ModuleList([m for m in modules if m is not None])
    return parts
