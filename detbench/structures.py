"""The plain containers that pass between data, detectors, training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Ground truth of a batch, padded to the image with the most objects.

    Attributes:
        boxes: (B, G, 4), xyxy in pixels of the network's input; padding is zero.
        labels: (B, G), int64, 0-based; padding is zero.
        valid: (B, G), bool; false for padding. G may be 0.
        sizes: (B, 2), height and width of each image before padding; none for no padding.
        extents: (B, 2), those of each image padded for itself alone, which the batch may exceed;
            none for no such padding. Places beyond them teach nothing.
        masks: of each image (n, h, w), uint8, 0 or 1, in pixels of the network's input without
            padding: those of its first n places, which are the valid ones. None where the recipe
            asks for no masks.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    sizes: Tensor | None = None
    extents: Tensor | None = None
    masks: tuple[Tensor, ...] | None = None

    @classmethod
    def pad(
        cls,
        boxes: list[Tensor],
        labels: list[Tensor],
        sizes: Tensor | None = None,
        multiple: int | None = None,
    ) -> Targets:
        """Stack each image's (n, 4) boxes and (n,) labels; any n, 0 included.

        Args:
            sizes: see above.
            multiple: that images are padded to, where ``extents`` matter.
        """
        count = max((len(image) for image in boxes), default=0)
        padded = torch.zeros(len(boxes), count, 4)
        padded_labels = torch.zeros(len(boxes), count, dtype=torch.int64)
        valid = torch.zeros(len(boxes), count, dtype=torch.bool)
        for index, (image_boxes, image_labels) in enumerate(zip(boxes, labels, strict=True)):
            padded[index, : len(image_boxes)] = image_boxes
            padded_labels[index, : len(image_labels)] = image_labels
            valid[index, : len(image_boxes)] = True
        extents = None
        if sizes is not None and multiple is not None:
            extents = (sizes + multiple - 1) // multiple * multiple
        return cls(padded, padded_labels, valid, sizes, extents)

    def padded(self, count: int) -> Targets:
        """The same objects in ``count`` places, no fewer than there are."""
        more = count - self.boxes.shape[1]
        if more <= 0:
            return self
        return replace(
            self,
            boxes=F.pad(self.boxes, (0, 0, 0, more)),
            labels=F.pad(self.labels, (0, more)),
            valid=F.pad(self.valid, (0, more)),
        )

    def to(self, device: torch.device | str) -> Targets:
        return Targets(
            self.boxes.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.valid.to(device, non_blocking=True),
            None if self.sizes is None else self.sizes.to(device, non_blocking=True),
            None if self.extents is None else self.extents.to(device, non_blocking=True),
            self.masks and tuple(one.to(device, non_blocking=True) for one in self.masks),
        )


@dataclass(frozen=True)
class Detections:
    """Detections of one image, best first.

    Attributes:
        boxes: (D, 4), xyxy pixels.
        scores: (D,), in [0, 1].
        labels: (D,), int64, 0-based.
        masks: (D, M, M), probabilities on a grid over each box; None without a mask head.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def taken(self, index: Tensor) -> Detections:
        """Those at ``index``, (K,), in its order."""
        masks = None if self.masks is None else self.masks[index]
        return Detections(self.boxes[index], self.scores[index], self.labels[index], masks)


@dataclass(frozen=True)
class Batch:
    """What the loaders yield.

    Attributes:
        images: (B, 3, H, W), float32, normalised and padded at right and bottom, on the device they
            are wanted on; the rest is in memory.
        sizes: (B, 2), int64, height and width of each image before padding.
        targets: ground truth in pixels of ``images``.
        image_ids: the data set's ids.
        scales: per image (x, y) factors from original pixels to ``images``' pixels.
        originals: per image original (height, width).
        spare: another process has these images too, and here they do not count: the whole batch has
            fewer images than there are processes.
    """

    images: Tensor
    sizes: Tensor
    targets: Targets
    image_ids: list[int]
    scales: list[tuple[float, float]]
    originals: list[tuple[int, int]]
    spare: bool = False
