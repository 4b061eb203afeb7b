"""A branch of an RoI detector: sampling, heads and outputs of the two tasks.

pyramid, proposals ─┬─ sampling.cls ─ heads.cls ─ scores (and boxes, if unfocused)
                    └─ sampling.loc ─ heads.loc ─ boxes (and scores, if unfocused)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from detbench.detectors.classes import ClassRows
from detbench.detectors.tasks import TaskModules
from detbench.pertask import PerTask
from detbench.stages.initial import OutputInit, output
from detbench.stages.sampling import Embedding, RoiPyramid
from detbench.stages.sampling.regions import Settings


@dataclass(frozen=True)
class HeadOutput:
    """What one head says of its proposals.

    Attributes:
        logits: (K, C + 1), background last, or none if the head does not classify.
        deltas: (K, 4) or (K, 4 C), or none if it does not localise.
        references: (K, 4), xyxy, what the deltas are relative to.
    """

    logits: Tensor | None
    deltas: Tensor | None
    references: Tensor

    @property
    def scores(self) -> Tensor:
        """The logits, of a head that classifies."""
        if self.logits is None:
            raise ValueError("a head is asked for scores that it does not predict")
        return self.logits

    @property
    def boxes(self) -> Tensor:
        """The deltas, of a head that localises."""
        if self.deltas is None:
            raise ValueError("a head is asked for boxes that it does not predict")
        return self.deltas


class Branch(nn.Module):
    """One branch.

    Args:
        sampling, heads: per task.
        embedding: first layer of the shift networks, if an option of sampling shifts.
        reads: how the plain feature that it reads is pooled, as ``RoiPyramid.align`` takes it.
        classes: without background.
        box_outputs: 4, or 4 per class, or 4 more for the background.
        init: how the layers that predict start, see ``stages.initial``.
        unfocused: each task's head also predicts the other task.
        classifies: false for a loc-only round, which has no scores.
    """

    def __init__(
        self,
        sampling: TaskModules,
        heads: TaskModules,
        embedding: Embedding | None,
        reads: Settings,
        classes: int,
        box_outputs: int,
        init: PerTask[OutputInit] = PerTask(0.01, 0.001),  # noqa: B008 - frozen
        unfocused: bool = False,
        classifies: bool = True,
    ) -> None:
        super().__init__()
        self.sampling = sampling
        self.heads = heads
        self.embedding = embedding
        self.reads = reads
        self.boxes_by_class = box_outputs > 4 or classes == 1
        widths: PerTask[int] = heads.tasks.map(lambda head: head.channels)  # type: ignore[arg-type,return-value]
        self.cls = output(widths.cls, classes + 1, init.cls) if classifies else None
        self.loc = output(widths.loc, box_outputs, init.loc)
        self.unfocused_cls = output(widths.loc, classes + 1, init.cls) if unfocused else None
        self.unfocused_loc = output(widths.cls, box_outputs, init.loc) if unfocused else None

    def per_class(self) -> dict[str, ClassRows]:
        """Rows of the classes: a score, or the four sides of a box; the background's come last."""
        layers = {"cls": 1, "unfocused_cls": 1}
        if self.boxes_by_class:
            layers |= {"loc": 4, "unfocused_loc": 4}
        return {
            f"{name}.{kind}": ClassRows(inner=inner)
            for name, inner in layers.items()
            if getattr(self, name) is not None
            for kind in ("weight", "bias")
        }

    def forward(
        self, pyramids: PerTask[RoiPyramid], rois: PerTask[Tensor], tasks: tuple[str, ...]
    ) -> PerTask[HeadOutput | None]:
        """Outputs of the heads of ``tasks`` on (K, 5) proposals; shared work is done once."""
        done: dict[tuple[int, ...], Any] = {}
        outputs: dict[str, HeadOutput | None] = {"cls": None, "loc": None}
        if len(tasks) == 2 and self._one(pyramids, rois):
            both = self._run("cls", pyramids.cls, rois.cls, done)
            return PerTask.both(both)
        for task in tasks:
            outputs[task] = self._run(task, getattr(pyramids, task), getattr(rois, task), done)
        return PerTask(outputs["cls"], outputs["loc"])

    def _one(self, pyramids: PerTask[RoiPyramid], rois: PerTask[Tensor]) -> bool:
        """Whether both tasks read, look and compute alike, so that one pass serves them."""
        return pyramids.shared and rois.shared and self.sampling.shared and self.heads.shared

    def _run(
        self, task: str, pyramid: RoiPyramid, rois: Tensor, done: dict[tuple[int, ...], Any]
    ) -> HeadOutput:
        """One task's output; pooling and embedding that are in ``done`` are not done again."""
        sampling = getattr(self.sampling.tasks, task)
        where = (id(pyramid), id(rois))
        if getattr(sampling, "shifts", False) and where not in done:
            assert self.embedding is not None
            done[where] = self.embedding(pyramid.align(rois, *self.reads))
        key = (*where, id(sampling))
        if key not in done:
            done[key] = sampling(pyramid, rois, done.get(where))
        pooled = done[key]
        return self._predict(task, getattr(self.heads.tasks, task)(pooled.features), pooled.boxes)

    def _predict(self, task: str, vector: Tensor, references: Tensor) -> HeadOutput:
        to_cls: nn.Linear | None
        to_loc: nn.Linear | None
        if self.heads.shared:
            to_cls, to_loc = self.cls, self.loc
        elif task == "cls":
            to_cls, to_loc = self.cls, self.unfocused_loc
        else:
            to_cls, to_loc = self.unfocused_cls, self.loc
        logits = None if to_cls is None else to_cls(vector)
        deltas = None if to_loc is None else to_loc(vector)
        return HeadOutput(logits, deltas, references)


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
        modules = [
            getattr(branch, task),
            getattr(branch, f"unfocused_{'loc' if task == 'cls' else 'cls'}"),
        ]
        if not branch.heads.shared:
            modules.append(getattr(branch.heads, task))
            if not branch.sampling.shared:
                modules.append(getattr(branch.sampling, task))
        parts[task] = nn.ModuleList([m for m in modules if m is not None])
    return parts
