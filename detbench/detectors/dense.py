"""The dense skeleton: one prediction per candidate of a pyramid, two tasks, five stages.

    images ─ backbone ─ neck ─┬─ features.cls ─ heads.cls ─┬─ predictor ─ outputs ─┬─ losses
                              └─ features.loc ─ heads.loc ─┘                       └─ detections

Sampling lives inside the heads, assignment and losses in ``detectors.supervision``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from detbench.detectors.supervision import Supervision
from detbench.detectors.tasks import TaskModules
from detbench.ops.boxes import clip
from detbench.ops.candidates import Candidates, Grid
from detbench.ops.coding import BoxCode
from detbench.ops.suppression import best_pairs, pairs_of_best, suppress
from detbench.ops.voting import vote
from detbench.stages.features import Pyramid
from detbench.stages.outputs import Outputs
from detbench.stages.predictor import Convolutions, Predictions
from detbench.structures import Detections, Targets


@dataclass(frozen=True)
class Inference:
    """Test-time settings; see ``recipe.model.DenseInference``."""

    score_threshold: float
    candidates_per_level: int
    nms: float
    max_detections: int
    best: Literal["pairs", "candidates"] = "pairs"
    voting: float | None = None
    clip: bool = True


@dataclass(frozen=True)
class DenseParts:
    """The modules and settings of a dense detector.

    Attributes:
        backbone: images to C2..C5.
        neck: C_first..C5 to the pyramid.
        first_level: of the pyramid; 3 means stride 8.
        features, heads: per task.
        predictor: (both tasks' towers, sizes of the grids) to ``Predictions``.
        grid, code: candidates and box code.
        score: makes the score that ranks.
        supervisions: the main one, then auxiliary ones.
        inference: see above.
        num_classes: classes without background.
    """

    backbone: nn.Module
    neck: nn.Module
    first_level: int
    features: TaskModules
    heads: TaskModules
    predictor: nn.Module
    grid: Grid
    code: BoxCode
    score: nn.Module
    supervisions: Sequence[Supervision]
    inference: Inference
    num_classes: int


class DenseDetector(nn.Module):
    """A dense detector made of its stages.

    Attributes:
        class_names: names of the classes in the order of the labels; None if they are unknown.
    """

    own_start = ("neck", "features", "heads", "predictor", "score", "supervisions")
    class_names: tuple[str, ...] | None = None

    def __init__(self, parts: DenseParts) -> None:
        super().__init__()
        self.backbone = parts.backbone
        self.neck = parts.neck
        self.first_level = parts.first_level
        self.features = parts.features
        self.heads = parts.heads
        self.predictor = parts.predictor
        self.grid = parts.grid
        self.code = parts.code
        self.score = parts.score
        self.supervisions = nn.ModuleList(parts.supervisions)
        self.inference = parts.inference
        self.num_classes = parts.num_classes

    def pyramid(self, images: Tensor) -> Pyramid:
        """Backbone and neck; the map under the first level comes straight from the backbone."""
        maps = self.backbone(images)
        start = self.first_level - 2
        below = maps[start - 1] if start > 0 else images
        return Pyramid(self.neck(maps[start:]), below)

    def forward(self, images: Tensor) -> Predictions:
        """(B, 3, H, W) normalised images to raw predictions; any H and W will do."""
        return self.predict(self.pyramid(images))

    def predict(self, pyramid: Pyramid) -> Predictions:
        """A pyramid to raw predictions."""
        maps = self.features.tasks.map(lambda features: features(pyramid))
        towers = maps.zip(self.heads.tasks, lambda levels, head: [head(x) for x in levels])
        sizes = [(x.shape[-2], x.shape[-1]) for x in pyramid.levels]
        predictions: Predictions = self.predictor(towers, sizes)
        return predictions

    def candidates(self, predictions: Predictions) -> Candidates:
        """Candidates of the predictions' sizes; level l has stride 2^l."""
        sizes = [(x.shape[-2], x.shape[-1]) for x in predictions.loc]
        strides = [2 ** (self.first_level + level) for level in range(len(sizes))]
        return self.grid.lay(sizes, strides, predictions.loc[0])

    def outputs(self, predictions: Predictions) -> Outputs:
        """Raw predictions, flat, in the candidates' order."""
        return Outputs(
            logits=self._flat(predictions.cls, self.num_classes),
            code=self._flat(predictions.loc, self.code.dims).float(),
            extras={name: self._flat(x, 1)[..., 0] for name, x in predictions.extras.items()},
            candidates=self.candidates(predictions),
            box_code=self.code,
            score=self.score,
        )

    def losses(self, images: Tensor, targets: Targets, epoch: float = 0.0) -> dict[str, Tensor]:
        """Losses of a batch; their sum is what is minimised.

        Args:
            images: (B, 3, H, W), normalised.
            targets: of the batch; all candidates of an image without objects are background.
            epoch: training progress in epochs, with a fraction, as 2.5.

        Returns:
            Scalars by name: ``cls``, ``loc``, and ``distribution``, ``quality`` if there are any;
            those of auxiliary supervisions with their prefixes.
        """
        return self.losses_of(self.network(images), images, targets, epoch)

    def network(self, images: Tensor) -> Predictions:
        """What a batch may be split for: each image's predictions depend on it alone."""
        return self.forward(images)

    def losses_of(
        self, predictions: Predictions, images: Tensor, targets: Targets, epoch: float
    ) -> dict[str, Tensor]:
        """``losses`` of the network's output; ``images`` are not read."""
        outputs = self.outputs(predictions)
        found: dict[str, Tensor] = {}
        for supervision in self.supervisions:
            found |= supervision(outputs, targets, epoch)
        return found

    def detect(self, images: Tensor, sizes: Tensor) -> list[Detections]:
        """Detections of each image, best first, clipped to its size unless ``clip`` is off.

        Args:
            images: (B, 3, H, W), normalised and padded.
            sizes: (B, 2), height and width before padding.
        """
        return self.postprocess(self.forward(images), sizes)

    def postprocess(self, predictions: Predictions, sizes: Tensor) -> list[Detections]:
        """Raw predictions to detections: threshold, best per level, decode, NMS."""
        outputs = self.outputs(predictions)
        by_class = self.score.select == "class"
        every = outputs.probabilities if by_class else outputs.scores
        found = []
        for image, size in enumerate(sizes):
            best, index, labels = self._best(every[image], outputs.candidates.counts)
            if by_class:
                extras = outputs.extras.items()
                at = {name: x[image, index].float().sigmoid() for name, x in extras}
                best = self.score(best, at)
            places = outputs.candidates
            code, strides = outputs.code[image, index], places.strides[index]
            boxes = self.code.decode(code, places.boxes[index], strides)
            settings = self.inference
            if settings.clip:
                boxes = clip(boxes, size.to(boxes.device))
            detections = Detections(boxes, best, labels)
            kept = suppress(detections, settings.nms, settings.max_detections)
            if settings.voting is not None:
                kept = vote(kept, detections, settings.voting)
            found.append(kept)
        return found

    def _best(self, scores: Tensor, counts: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The best of (N, C) scores on each level: scores, candidates and labels, (K,)."""
        settings, found, start = self.inference, [], 0
        choose = best_pairs if settings.best == "pairs" else pairs_of_best
        for level in scores.split(counts):
            best, index, labels = choose(
                level, settings.score_threshold, settings.candidates_per_level
            )
            found.append((best, index + start, labels))
            start += len(level)
        best, index, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        return best, index, labels

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
        predicted: dict[str, list[nn.Module]] = {}
        if isinstance(self.predictor, Convolutions):
            predicted = self.predictor.parts()
        else:
            parts["predictor"] = [self.predictor]
        for task in ("cls", "loc"):
            modules: list[nn.Module] = []
            if not features.shared:
                modules.append(getattr(features, task))
            if not heads.shared:
                modules.append(getattr(heads, task))
            parts[task] = modules + predicted.get(task, [])
        return {name: nn.ModuleList(modules) for name, modules in parts.items()}
