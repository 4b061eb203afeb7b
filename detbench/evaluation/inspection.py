"""One image through a detector, with what NMS takes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detbench.data import Sample, transforms
from detbench.detectors.dense import DenseDetector
from detbench.errors import CellFailed
from detbench.evaluation.competition import Boxed
from detbench.evaluation.predict import original_boxes, original_masks
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels
from detbench.structures import Detections
from detbench.training.precision import memory_format

EVERY = 20_000
"""Boxes of a level that are looked at where none is to be left out: an image has few hundred
thousand (box, class) pairs, and those beyond have scores next to nothing."""


@dataclass(frozen=True)
class Inspection:
    """A detector's boxes on one image, in pixels of the original, best first.

    Attributes:
        before: what goes into NMS.
        after: the detections, with their masks if the detector makes them.
        every: before NMS, without a threshold on the score.
    """

    before: Boxed
    after: Boxed
    every: Boxed


@torch.inference_mode()
def inspect(
    detector: nn.Module,
    image: Tensor,
    input: Input,
    pixels: Pixels,
    device: torch.device | str,
    channels_last: bool = True,
) -> Inspection:
    """Run ``detector`` in eval mode on one image, at the testing scale.

    Args:
        image: (3, H, W), uint8, RGB.
        input, pixels: of the detector's cell.

    Raises:
        CellFailed: a box or score is not finite.
    """
    network: Any = detector
    network.eval().to(device, memory_format=memory_format(channels_last))
    height, width = image.shape[-2:]
    empty = Sample(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 0)
    scaled, scale = transforms.resize(empty, input.short[-1], input.long)
    images = transforms.normalise([scaled.image], pixels, input.multiple)
    images = images.to(device, memory_format=memory_format(channels_last))
    sizes = torch.tensor([scaled.image.shape[-2:]], device=device)
    dense = isinstance(network, DenseDetector)
    raw = network(images) if dense else network(images, sizes)
    unlimited: dict[str, Any] = {"nms": 1.0, "max_detections": EVERY * 10}
    if not dense:
        unlimited["soft"] = None
    everything = unlimited | {"score_threshold": 0.0}
    if dense:
        everything["candidates_per_level"] = EVERY
    found = []
    for changed in (unlimited, {}, everything):
        with _inference(network, changed):
            [detections] = network.postprocess(raw, sizes)
        found.append(in_original(detections, scale, (height, width)))
    return Inspection(*found)


@contextmanager
def _inference(network: Any, changed: dict[str, Any]) -> Iterator[None]:
    """Test-time settings changed for a while, and no masks where any is: boxes are too many."""
    own, extras = network.inference, getattr(network, "extras", {})
    network.inference = replace(own, **changed)
    if changed and extras:
        network.extras = {}
    try:
        yield
    finally:
        network.inference = own
        if extras:
            network.extras = extras


def in_original(detections: Detections, scale: tuple[float, float], size: tuple[int, int]) -> Boxed:
    """Detections in pixels of the original image; arguments as of ``predict.original_boxes``."""
    boxes = original_boxes(detections.boxes, scale, size)
    scores = detections.scores.double().cpu().numpy()
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise CellFailed("a detection is not finite: the weights are damaged or untrained")
    corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)
    held = dict(original_masks(detections, scale, size))
    masks = None
    if detections.masks is not None:
        masks = tuple(held[row] for row in range(len(detections)))
    return Boxed(corners, detections.labels.cpu().numpy(), scores, masks)
