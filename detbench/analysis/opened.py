"""A detector with its checkpoint, and the images that it is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detbench import data
from detbench.analysis.subjects import Subject
from detbench.assembly import build_detector
from detbench.data import Sample, transforms
from detbench.detectors.dense import DenseDetector
from detbench.errors import WeightsError
from detbench.evaluation.competition import Boxed
from detbench.evaluation.detections import image_ids, truth_columns
from detbench.evaluation.inspection import Inspection, inspect
from detbench.training import seeding
from detbench.training.precision import memory_format
from detbench.training.weights import load_file


@dataclass(frozen=True)
class Objects:
    """What is on an image, crowds aside.

    Attributes:
        boxes: (n, 4), xyxy in pixels of the original.
        labels, areas: (n,), 0-based, and square pixels as annotated.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    areas: NDArray[np.float64]

    @property
    def boxed(self) -> Boxed:
        return Boxed(self.boxes, self.labels, np.ones(len(self.labels)))


@dataclass(frozen=True)
class Prepared:
    """An image as the network takes it.

    Attributes:
        images: (1, 3, H, W), normalised and padded; ``sizes`` (1, 2) before padding.
        scale: of x and of y, from the original.
    """

    images: Tensor
    sizes: Tensor
    scale: tuple[float, float]


class Opened:
    """A training's detector in evaluation mode.

    Args:
        subject: which one; its checkpoint is there.
        root: folder of data sets.
        device: where it runs.

    Raises:
        WeightsError: the checkpoint is damaged, or of another detector.
    """

    def __init__(self, subject: Subject, root: Path, device: torch.device) -> None:
        cell = subject.cell
        self.cell, self.device = cell, device
        self.data = data.load(cell.data, "val", root)
        self.names = data.class_names(self.data)
        if subject.weights is None:
            raise WeightsError(f"{subject.where}: no checkpoint")
        seeding.choose_determinism(device)
        network: Any = build_detector(cell.detector, self.names)
        try:
            load_file(network, subject.weights, allow_partial=None, whole=True)
        except WeightsError as error:
            raise WeightsError(f"{subject.where}: {error}") from error
        self.layout = memory_format(cell.training.channels_last)
        self.network = network.eval().to(device, memory_format=self.layout)

    @property
    def dense(self) -> bool:
        return isinstance(self.network, DenseDetector)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {one: place for place, one in enumerate(image_ids(self.data.truth()))}

    @cached_property
    def _truth(self) -> Any:
        return truth_columns(self.data.truth())

    def image(self, image_id: int) -> Tensor:
        """(3, H, W), uint8, RGB."""
        return self.data.sample(self._places[image_id]).image

    def objects(self, image_id: int) -> Objects:
        """Its objects, as they are annotated."""
        truth = self._truth
        of = truth.image_ids[truth.images] == image_id
        rows = np.flatnonzero(of & ~truth.crowd)
        boxes = truth.boxes[rows].copy()
        boxes[:, 2:] += boxes[:, :2]
        return Objects(boxes, truth.labels[rows], truth.areas[rows])

    def prepared(self, image: Tensor) -> Prepared:
        """An image at the testing scale."""
        settings, pixels = self.cell.training.input, self.cell.detector.pixels
        empty = Sample(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 0)
        scaled, scale = transforms.resize(empty, settings.short[-1], settings.long)
        images = transforms.normalise([scaled.image], pixels, settings.multiple)
        images = images.to(self.device, memory_format=self.layout)
        sizes = torch.tensor([scaled.image.shape[-2:]], device=self.device)
        return Prepared(images, sizes, scale)

    def inspect(self, image_id: int) -> Inspection:
        """Its boxes before and after NMS."""
        cell = self.cell
        settings = cell.training.input, cell.detector.pixels
        image, last = self.image(image_id), cell.training.channels_last
        return inspect(self.network, image, *settings, self.device, last)
