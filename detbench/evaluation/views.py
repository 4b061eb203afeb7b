"""Test-time augmentation: each image at several scales and mirrored, its boxes merged.

Each view is detected by itself, with the detector's own thresholds and NMS; then the boxes of all
views, in the original image, go through NMS or soft-NMS together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detbench.data import Dataset
from detbench.data.loading import EvalLoader, Processes
from detbench.ops.boxes import clip
from detbench.ops.soft_suppression import soft_suppress
from detbench.ops.suppression import suppress
from detbench.recipe.experiment import Cell, Input
from detbench.recipe.model import Views
from detbench.structures import Batch, Detections

Detect = Callable[[Batch], list[Detections]]


@dataclass(frozen=True)
class ViewSet:
    """The same images at each of the scales, unflipped.

    Attributes:
        limit: detections that are kept of an image.
    """

    batches: Sequence[Batch]
    settings: Views
    limit: int

    def merged(self, detect: Detect) -> tuple[Batch, list[Detections]]:
        """Detections in pixels of the original images, and the batch that says so."""
        first = self.batches[0]
        found: list[list[Detections]] = [[] for _ in first.image_ids]
        for batch in self.batches:
            for view in (batch, mirrored(batch)) if self.settings.flip else (batch,):
                for index, one in enumerate(detect(view)):
                    if view is not batch:
                        one = _mirrored_back(one, int(batch.sizes[index, 1]))
                    found[index].append(_in_original(one, batch, index))
        originals = replace(first, scales=[(1.0, 1.0)] * len(found))
        return originals, [merge(each, self.settings, self.limit) for each in found]


class ViewLoader:
    """Every image once, as ``EvalLoader``, at each scale of ``settings``.

    Attributes:
        images, own: as of ``EvalLoader``.
    """

    def __init__(self, dataset: Dataset, cell: Cell, settings: Views, processes: Processes) -> None:
        evaluation, self._settings = cell.evaluation, settings
        self._limit = cell.detector.inference.max_detections
        self._loaders = [
            EvalLoader(
                *(dataset, scaled(cell.training.input, scale), cell.detector.pixels),
                *(evaluation.batch, evaluation.limit, processes),
            )
            for scale in settings.scales
        ]
        self.images, self.own = self._loaders[0].images, self._loaders[0].own

    def __iter__(self) -> Iterator[ViewSet]:
        for batches in zip(*self._loaders, strict=True):
            yield ViewSet(batches, self._settings, self._limit)


def scaled(input: Input, scale: float) -> Input:
    """The testing scale times ``scale``, both its shorter side and what the longer may not pass."""
    short, long = (max(1, round(side * scale)) for side in (input.short[-1], input.long))
    return input.model_copy(update={"short": (short,), "long": long})


def mirrored(batch: Batch) -> Batch:
    """Each image mirrored left to right in its own place: padding stays at the right."""
    images = batch.images.clone()
    for image, (height, width) in zip(images, batch.sizes.tolist(), strict=True):
        image[:, :height, :width] = image[:, :height, :width].flip(-1)
    return replace(batch, images=images)


def _mirrored_back(found: Detections, width: int) -> Detections:
    left, top, right, bottom = found.boxes.unbind(-1)
    boxes = torch.stack((width - right, top, width - left, bottom), -1)
    return replace(found, boxes=boxes, masks=None if found.masks is None else found.masks.flip(-1))


def _in_original(found: Detections, batch: Batch, index: int) -> Detections:
    boxes: Tensor = found.boxes / found.boxes.new_tensor(batch.scales[index] * 2)
    size = torch.tensor(batch.originals[index], device=boxes.device)
    return replace(found, boxes=clip(boxes, size))


def merge(views: Sequence[Detections], settings: Views, limit: int) -> Detections:
    """The best ``limit`` of an image's boxes, those of one object in several views suppressed.

    A box keeps its own view's mask.

    Args:
        views: each in pixels of the original image; any may be empty.
    """
    masks = [one.masks for one in views if one.masks is not None]
    whole = Detections(
        torch.cat([one.boxes for one in views]),
        torch.cat([one.scores for one in views]),
        torch.cat([one.labels for one in views]),
        torch.cat(masks) if len(masks) == len(views) else None,
    )
    if settings.soft is not None:
        return soft_suppress(whole, settings.nms, settings.soft, limit)
    return suppress(whole, settings.nms, limit, keep_empty=True)
