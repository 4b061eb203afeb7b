"""A detector's detections on a data set, as COCO results in pixels of the original images."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from detbench.data.loading import worker_deaths
from detbench.data.segmentations import Ints, Placed, as_json, compressed, run_lengths
from detbench.errors import CellFailed
from detbench.evaluation.views import ViewSet
from detbench.ops.masks import paste
from detbench.progress import Progress, Report
from detbench.structures import Batch, Detections
from detbench.training.precision import memory_format

BOX_DECIMALS = 3  # thousandths of a pixel: scored and stored values are these same ones


class Category(Protocol):
    """A class of the data set; label k is the k-th."""

    @property
    def id(self) -> int: ...


@torch.inference_mode()
def predict(
    detector: nn.Module,
    loader: Iterable[Batch | ViewSet],
    categories: Sequence[Category],
    device: torch.device | str,
    report: Report,
    channels_last: bool = True,
) -> list[dict[str, Any]]:
    """Run ``detector`` in eval mode over ``loader``.

    Args:
        loader: batches, or sets of views of one; with a number of images as ``own`` its progress
            has an end.
        categories: of the data set, in the order of the labels.
        report: told after each batch.

    Returns:
        COCO results, images in the loader's order, best detection first: ``bbox`` is x, y, w, h in
        pixels of the original image, cut to it, to 0.001 pixel; ``score`` is the float32 that was
        computed, so that the order of detections is kept. Of a detector with masks
        ``segmentation`` is a mask's compressed RLE in the original image.

    Raises:
        CellFailed: a box or score is not finite.
    """
    network: Any = detector
    training = network.training
    network.eval().to(device, memory_format=memory_format(channels_last))
    total = int(getattr(loader, "own", 0))
    identifiers = [category.id for category in categories]
    results: list[dict[str, Any]] = []
    done, began = 0, time.monotonic()

    def detect(batch: Batch) -> list[Detections]:
        images = batch.images.to(device, memory_format=memory_format(channels_last))
        found: list[Detections] = network.detect(images, batch.sizes.to(device))
        return found

    with worker_deaths():
        for one in loader:
            batch, found = one.merged(detect) if isinstance(one, ViewSet) else (one, detect(one))
            for index, detections in enumerate(found):
                results += to_results(detections, batch, index, identifiers)
            done += len(found)
            report(Progress("eval", done, max(total, done), seconds=time.monotonic() - began))
    network.train(training)
    return results


def to_results(
    detections: Detections, batch: Batch, index: int, identifiers: list[int]
) -> list[dict[str, Any]]:
    """COCO results of image ``index`` of a batch; empty when nothing was detected."""
    boxes = original_boxes(detections.boxes, batch.scales[index], batch.originals[index])
    scores = detections.scores.float().cpu().numpy()
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise CellFailed(f"image {batch.image_ids[index]}: a detection is not finite")
    labels = detections.labels.tolist()
    found: list[dict[str, Any]] = [
        {
            "image_id": batch.image_ids[index],
            "category_id": identifiers[label],
            "bbox": box,
            "score": float(str(score)),  # float32's own shortest form, not float64's of it
        }
        for label, box, score in zip(labels, boxes.tolist(), scores, strict=True)
    ]
    if detections.masks is not None:
        rles = _rles(detections, batch.scales[index], batch.originals[index])
        for one, rle in zip(found, rles, strict=True):
            one["segmentation"] = as_json(rle)
    return found


def _rles(
    detections: Detections, scale: tuple[float, float], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Compressed RLEs of detections' masks in the original; arguments as of ``original_boxes``."""
    counts: dict[int, Ints] = {}
    for row, placed in original_masks(detections, scale, size):
        counts[row] = run_lengths(placed, size)
    return compressed([counts[row] for row in range(len(detections))], size)


def original_masks(
    detections: Detections, scale: tuple[float, float], size: tuple[int, int]
) -> Iterator[tuple[int, Placed]]:
    """Masks in pixels of the original image, each with the row of its detection, in any order; none
    without a mask head. Arguments as of ``original_boxes``.
    """
    if detections.masks is not None:
        boxes = detections.boxes / detections.boxes.new_tensor(scale * 2)
        for one in paste(detections.masks, boxes, size):
            yield one.index, Placed(one.left, one.top, one.mask.numpy())


def original_boxes(boxes: Tensor, scale: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Boxes of the network's input as COCO's x, y, w, h in the original image.

    Args:
        boxes: (D, 4), xyxy in pixels of the network's input; D may be 0.
        scale: factors in x and y from the original to the input.
        size: height and width of the original, to which boxes are cut.

    Returns:
        (D, 4), float64, rounded to ``BOX_DECIMALS``.
    """
    corners = boxes.double().cpu().numpy().reshape(-1, 2, 2) / np.asarray(scale)
    corners = np.clip(corners, 0.0, np.asarray([size[1], size[0]], dtype=np.float64))
    corners = np.round(corners, BOX_DECIMALS)
    sides = np.round(corners[:, 1] - corners[:, 0], BOX_DECIMALS).clip(min=0.0)
    return np.concatenate([corners[:, 0], sides], axis=1)
