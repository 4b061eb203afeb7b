"""A branch of an RoI detector: sampling, heads and outputs of the two tasks.

pyramid, proposals ─┬─ sampling.cls ─ heads.cls ─ scores (and boxes, if unfocused)
                    └─ sampling.loc ─ heads.loc ─ boxes (and scores, if unfocused)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detbench.detectors.classes import ClassRows
from detbench.detectors.tasks import TaskModules
from detbench.pertask import PerTask
from detbench.stages.sampling import Embedding, RoiPyramid


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


class Branch(nn.Module):
    """One branch.

    Args:
        sampling, heads: per task.
        embedding: first layer of the shift networks, if an option of sampling shifts.
        embedding_size: side of the plain pooled feature it reads.
        classes: without background.
        box_outputs: 4, or 4 per class, or 4 more for the background.
        unfocused: each task's head also predicts the other task.
        classifies: false for a loc-only round, which has no scores.
    """

    def __init__(
        self,
        sampling: TaskModules,
        heads: TaskModules,
        embedding: Embedding | None,
        embedding_size: int,
        classes: int,
        box_outputs: int,
        unfocused: bool = False,
        classifies: bool = True,
    ) -> None:
        super().__init__()
        self.sampling = sampling
        self.heads = heads
        self.embedding = embedding
        self.embedding_size = embedding_size
        self.boxes_by_class = box_outputs > 4 or classes == 1
        widths: PerTask[int] = heads.tasks.map(lambda head: head.channels)  # type: ignore[arg-type,return-value]
        self.cls = _output(widths.cls, classes + 1, 0.01) if classifies else None
        self.loc = _output(widths.loc, box_outputs, 0.001)
        self.unfocused_cls = _output(widths.loc, classes + 1, 0.01) if unfocused else None
        self.unfocused_loc = _output(widths.cls, box_outputs, 0.001) if unfocused else None

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
        if sampling.shifts and where not in done:
            assert self.embedding is not None
            done[where] = self.embedding(pyramid.align(rois, self.embedding_size))
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


def _output(inputs: int, outputs: int, std: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=std)
    with torch.no_grad():
        layer.bias.zero_()
    return layer


def branch_parts(branch: Branch) -> dict[str, nn.Module]:
    """The branch's modules by what they serve, each once."""
    parts: dict[str, nn.Module] = {}
    if branch.embedding is not None:
        parts["shared sampling"] = branch.embedding
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
