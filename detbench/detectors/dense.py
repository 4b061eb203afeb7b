"""The dense skeleton: one prediction per candidate of a pyramid, two tasks, five stages.

    images ─ backbone ─ neck ─┬─ features.cls ─ heads.cls ─ scores
                              └─ features.loc ─ heads.loc ─ boxes (and quality)

Sampling lives inside the heads; assignment and supervision come in ``losses``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.detectors.classes import ClassRows
from detbench.detectors.tasks import TaskModules, modules_in
from detbench.ops.boxes import aligned_iou, clip
from detbench.ops.candidates import Candidates, Grid
from detbench.ops.coding import BoxCode
from detbench.ops.suppression import best_pairs, suppress
from detbench.pertask import PerTask
from detbench.stages.assignment import Assignment
from detbench.stages.convolution import prediction, prior_bias
from detbench.stages.features import Pyramid
from detbench.stages.supervision import Centerness, LocInputs
from detbench.structures import Detections, Targets


class Assigner(Protocol):
    def assign(
        self,
        candidates: Candidates,
        targets: Targets,
        predictions: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Assignment: ...


class ClsLoss(Protocol):
    needs_quality: bool

    def __call__(
        self, logits: Tensor, labels: Tensor, assignment: Assignment, quality: Tensor | None
    ) -> Tensor: ...


LocLoss = Callable[[LocInputs], dict[str, Tensor]]


@dataclass(frozen=True)
class Predictions:
    """Raw outputs, one map per level on the pyramid's own grid.

    Attributes:
        cls: (B, A C, H_l, W_l) logits, A candidates per cell.
        loc: (B, A dims, H_l, W_l), in the box code.
        quality: (B, A, H_l, W_l) logits, or none.
    """

    cls: list[Tensor]
    loc: list[Tensor]
    quality: list[Tensor] | None


@dataclass(frozen=True)
class Supervision:
    """Losses of the two tasks and of the optional third output."""

    cls: ClsLoss
    loc: LocLoss
    quality: Centerness | None


@dataclass(frozen=True)
class Inference:
    """Test-time settings; see ``recipe.model.DenseInference``."""

    score_threshold: float = 0.05
    candidates_per_level: int = 1000
    nms: float = 0.6
    max_detections: int = 100


class DensePredictor(nn.Module):
    """The prediction convolutions, shared by all levels.

    A task whose features are coarser than their level predicts for all cells under a coarse cell at
    once; ``pixel_shuffle`` puts them back (TSCODE, eq. 4, up to the order of channels) and what odd
    sizes leave over at right and bottom is cut.

    Args:
        channels: of each task's tower.
        coarseness: of each task's features.
        classes, dims, per_cell: outputs of a candidate, and candidates of a cell.
        quality_task: whose tower predicts the quality, or none.
        scaled_levels: levels with a learnt factor on the localisation output; 0 for none.
    """

    def __init__(
        self,
        channels: PerTask[int],
        coarseness: PerTask[int],
        classes: int,
        dims: int,
        per_cell: int,
        quality_task: str | None,
        scaled_levels: int,
    ) -> None:
        super().__init__()
        self.coarseness = coarseness
        self.per_cell = per_cell
        self.quality_task = quality_task
        cells = coarseness.map(lambda factor: factor**2)
        self.cls = prediction(channels.cls, per_cell * classes * cells.cls, prior_bias(0.01))
        self.loc = prediction(channels.loc, per_cell * dims * cells.loc)
        self.quality: nn.Conv2d | None = None
        if quality_task is not None:
            width, count = getattr(channels, quality_task), getattr(cells, quality_task)
            self.quality = prediction(width, per_cell * count)
        self.scales = nn.Parameter(torch.ones(scaled_levels)) if scaled_levels else None

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        """Towers' outputs per level to predictions on grids of ``sizes``."""
        cls = self._on_grid(self.cls, towers.cls, self.coarseness.cls, sizes)
        loc = self._on_grid(self.loc, towers.loc, self.coarseness.loc, sizes)
        if self.scales is not None:
            loc = [x * scale for x, scale in zip(loc, self.scales, strict=True)]
        quality = None
        if self.quality is not None:
            assert self.quality_task is not None
            maps = getattr(towers, self.quality_task)
            factor = getattr(self.coarseness, self.quality_task)
            quality = self._on_grid(self.quality, maps, factor, sizes)
        return Predictions(cls, loc, quality)

    def per_class(self) -> dict[str, ClassRows]:
        """Rows of the classes: for each candidate of a cell, for each cell under a coarse one."""
        rows = ClassRows(self.per_cell, self.coarseness.cls**2)
        return {"cls.weight": rows, "cls.bias": rows}

    @staticmethod
    def _on_grid(
        conv: nn.Conv2d, maps: list[Tensor], factor: int, sizes: list[tuple[int, int]]
    ) -> list[Tensor]:
        outputs = [conv(x) for x in maps]
        if factor == 1:
            return outputs
        return [
            F.pixel_shuffle(x, factor)[..., :height, :width]
            for x, (height, width) in zip(outputs, sizes, strict=True)
        ]


class DenseDetector(nn.Module):
    """A dense detector put together from its stages.

    Args:
        backbone: images to C2..C5.
        neck: C_first..C5 to the pyramid.
        first_level: of the pyramid; 3 means stride 8.
        features, heads: per task.
        predictor: towers to predictions.
        grid, code: candidates and box code.
        assigners: per task; one object if shared.
        supervision, inference: see above.
        num_classes: classes without background.

    Attributes:
        class_names: what the labels are called, in their order; none where nobody said.
    """

    own_start = ("neck", "features", "heads", "predictor")
    class_names: tuple[str, ...] | None = None

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        first_level: int,
        features: TaskModules,
        heads: TaskModules,
        predictor: DensePredictor,
        grid: Grid,
        code: BoxCode,
        assigners: PerTask[Assigner],
        supervision: Supervision,
        inference: Inference,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.first_level = first_level
        self.features = features
        self.heads = heads
        self.predictor = predictor
        self.grid = grid
        self.code = code
        self.assigners = assigners
        self.supervision = supervision
        self.own = modules_in(*assigners, supervision.cls, supervision.loc)
        self.inference = inference
        self.num_classes = num_classes

    def pyramid(self, images: Tensor) -> Pyramid:
        """Backbone and neck; the map under the first level comes straight from the backbone."""
        maps = self.backbone(images)
        start = self.first_level - 2
        below = maps[start - 1] if start > 0 else images
        return Pyramid(self.neck(maps[start:]), below)

    def forward(self, images: Tensor) -> Predictions:
        """(B, 3, H, W) normalised images to raw predictions; H and W need no multiple."""
        pyramid = self.pyramid(images)
        maps = self.features.tasks.map(lambda features: features(pyramid))
        towers = maps.zip(self.heads.tasks, lambda levels, head: [head(x) for x in levels])
        sizes = [(x.shape[-2], x.shape[-1]) for x in pyramid.levels]
        return self.predictor(towers, sizes)

    def candidates(self, predictions: Predictions) -> Candidates:
        """Candidates of the predictions' sizes; level l has stride 2^l."""
        sizes = [(x.shape[-2], x.shape[-1]) for x in predictions.loc]
        strides = [2 ** (self.first_level + level) for level in range(len(sizes))]
        return self.grid.lay(sizes, strides, predictions.loc[0])

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Losses of a batch; their sum is what is minimised.

        Args:
            images: (B, 3, H, W), normalised.
            targets: of the batch; images without objects are all background.

        Returns:
            Scalars by name: ``cls``, ``loc``, and ``distribution``, ``quality`` if there are any.
        """
        predictions = self.forward(images)
        candidates = self.candidates(predictions)
        logits = self._flat(predictions.cls, self.num_classes)
        code = self._flat(predictions.loc, self.code.dims).float()
        decoded = self.code.decode(code, candidates.boxes, candidates.strides)
        scores = logits.detach().float().sigmoid()

        def current() -> tuple[Tensor, Tensor]:
            return scores, decoded.detach()

        assigned = self.assigners.map(lambda a: a.assign(candidates, targets, current))
        inputs = LocInputs(
            code=self.code,
            prediction=code,
            decoded=decoded,
            boxes=assigned.loc.boxes(targets),
            scores=scores.amax(dim=-1),
            candidates=candidates,
            assignment=assigned.loc,
        )
        losses = {"cls": self._cls_loss(logits, decoded, assigned.cls, targets)}
        losses |= self.supervision.loc(inputs)
        if self.supervision.quality is not None:
            assert predictions.quality is not None
            quality = self._flat(predictions.quality, 1)[..., 0]
            losses["quality"] = self.supervision.quality(quality, inputs)
        return losses

    def _cls_loss(
        self, logits: Tensor, decoded: Tensor, assignment: Assignment, targets: Targets
    ) -> Tensor:
        loss = self.supervision.cls
        quality = None
        if loss.needs_quality:
            quality = aligned_iou(decoded.detach(), assignment.boxes(targets))
        return loss(logits, assignment.labels(targets), assignment, quality)

    def detect(self, images: Tensor, sizes: Tensor) -> list[Detections]:
        """Detections of each image, best first, clipped to its size.

        Args:
            images: (B, 3, H, W), normalised and padded.
            sizes: (B, 2), height and width before padding.
        """
        return self.postprocess(self.forward(images), sizes)

    def postprocess(self, predictions: Predictions, sizes: Tensor) -> list[Detections]:
        """Raw predictions to detections: threshold, best per level, decode, NMS."""
        candidates = self.candidates(predictions)
        scores = self._flat(predictions.cls, self.num_classes).float().sigmoid()
        code = self._flat(predictions.loc, self.code.dims).float()
        quality = None
        if predictions.quality is not None:
            quality = self._flat(predictions.quality, 1)[..., 0].float().sigmoid()
        return [
            self._detect_one(
                scores[image],
                code[image],
                None if quality is None else quality[image],
                candidates,
                sizes[image],
            )
            for image in range(len(scores))
        ]

    def _detect_one(
        self,
        scores: Tensor,
        code: Tensor,
        quality: Tensor | None,
        candidates: Candidates,
        size: Tensor,
    ) -> Detections:
        settings = self.inference
        found, start = [], 0
        for level in scores.split(candidates.counts):
            best, index, labels = best_pairs(
                level, settings.score_threshold, settings.candidates_per_level
            )
            found.append((best, index + start, labels))
            start += len(level)
        best, index, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        boxes = self.code.decode(code[index], candidates.boxes[index], candidates.strides[index])
        boxes = clip(boxes, size.to(boxes.device))
        if quality is not None:
            best = best * quality[index]
        return suppress(Detections(boxes, best, labels), settings.nms, settings.max_detections)

    @staticmethod
    def _flat(maps: list[Tensor], width: int) -> Tensor:
        """Per-level (B, A width, H, W) to (B, N, width), in the candidates' order."""
        return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, width) for x in maps], dim=1)

    def parts(self) -> dict[str, nn.Module]:
        """The detector's modules by what they serve, each once, for counting."""
        parts: dict[str, list[nn.Module]] = {"backbone": [self.backbone], "neck": [self.neck]}
        features, heads = self.features.tasks, self.heads.tasks
        if features.shared:
            parts["shared features"] = [features.cls]
        if heads.shared:
            parts["shared head"] = [heads.cls]
        for task in ("cls", "loc"):
            modules: list[nn.Module] = []
            if not features.shared:
                modules.append(getattr(features, task))
            if not heads.shared:
                modules.append(getattr(heads, task))
            modules.append(getattr(self.predictor, task))
            if self.predictor.quality_task == task:
                assert self.predictor.quality is not None
                modules.append(self.predictor.quality)
            parts[task] = modules
        return {name: nn.ModuleList(modules) for name, modules in parts.items()}
