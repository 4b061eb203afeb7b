"""Data sets in COCO's format on disk: COCO itself, and any other annotation file like it.

What is wrong with an annotation file is found when it is opened, before anything runs; what is
wrong with an image, when it is read. Facts that follow MMDetection, for the papers' numbers:

- a box narrower or lower than one pixel is not learnt from, but stays in the ground truth;
- images without any object to learn from are not trained on (COCO train2017: 1021 of 118287);
- a crowd is not learnt from; evaluation treats it as COCO does.

Where masks are learnt, an object without a segmentation is not learnt from and does not count in
mask metrics. One whose mask has no pixel is learnt from, with nothing in its mask, and counts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as F

from detbench.data import Category, Sample, images
from detbench.data.coco_check import Table, check_files, read
from detbench.data.segmentations import Segmentations

_AT_ONCE = 1 << 16


class CocoDataset:
    """Images of a folder with an annotation file in COCO's format.

    Args:
        annotations: the JSON file.
        folder: of the images, which its ``file_name``s are relative to.
        table: what was read already, from files of another format; ``annotations`` names them. Of
            one with masks samples have them too.
        found: the images were looked for, and all are there.

    Labels are positions of the category ids in ascending order, which may have holes.

    Raises:
        DataError: a file or folder is missing, damaged or inconsistent.
    """

    in_memory = False

    def __init__(
        self, annotations: Path, folder: Path, table: Table | None = None, found: bool = False
    ) -> None:
        self.path = annotations
        self.folder = folder
        table = table or read(annotations)
        self._table = table
        self.categories = [Category(i, n) for i, n in table.categories]
        self.sizes: Sequence[tuple[int, int]] = _Sizes(table.image_sizes)
        if not found:
            check_files(folder, table.file_names, annotations)
        self._learnt, thin = _learnt(table)
        if table.masks is not None:
            self._learnt &= _masked(table.masks, annotations)
        self._starts = np.searchsorted(table.image_rows, np.arange(len(self.sizes) + 1))
        counts = np.bincount(table.image_rows[self._learnt], minlength=len(self.sizes))
        self.trainable = np.flatnonzero(counts).tolist()
        for said in table.edited.said(len(table.ids)):
            print(f"{annotations}: {said}", file=sys.stderr)
        if thin:
            print(
                f"{annotations}: {thin} of {len(table.boxes)} boxes are less than a pixel wide or "
                f"high; they are evaluated but not learnt from",
                file=sys.stderr,
            )

    def __len__(self) -> int:
        return len(self.sizes)

    def sample(self, index: int) -> Sample:
        """Image ``index`` and its objects, which may be none.

        Raises:
            DataError: the image cannot be read, or has another size than annotated.
        """
        rows = np.arange(self._starts[index], self._starts[index + 1])
        rows = rows[self._learnt[rows]]
        return Sample(
            self._image(index),
            torch.from_numpy(_inside(self._table, rows)),
            torch.from_numpy(self._table.labels[rows]),
            int(self._table.image_ids[index]),
            self._masks(rows, index),
        )

    def _masks(self, rows: NDArray[np.int64], index: int) -> torch.Tensor | None:
        masks = self._table.masks
        return None if masks is None else torch.from_numpy(masks.bitmaps(rows, self.sizes[index]))

    def _image(self, index: int) -> torch.Tensor:
        path = self.folder / self._table.file_names[index]
        image = images.read(path, self.sizes[index], self._table.source(index))
        return F.pil_to_tensor(image)

    def objects(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index of the image and label of each object to learn from, (n,) each."""
        return self._table.image_rows[self._learnt], self._table.labels[self._learnt]

    def truth(self) -> Table:
        """What detections are scored against."""
        return self._table

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary, see ``Table.ground_truth``."""
        return self._table.ground_truth(str(self.path))


class _Sizes(Sequence[tuple[int, int]]):
    """(height, width) of each image; of a million of them a list takes a hundred megabytes."""

    def __init__(self, sizes: NDArray[np.int64]) -> None:
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, int]]: ...

    def __getitem__(self, index: int | slice) -> tuple[int, int] | list[tuple[int, int]]:
        if isinstance(index, slice):
            return [(height, width) for width, height in self._sizes[index].tolist()]
        width, height = self._sizes[index].tolist()
        return height, width


def _learnt(table: Table) -> tuple[NDArray[np.bool_], int]:
    """Which objects are learnt from, (n,), and how many boxes are less than a pixel."""
    learnt, thin = np.zeros(len(table.boxes), np.bool_), 0
    for first in range(0, len(learnt), _AT_ONCE):
        rows = slice(first, first + _AT_ONCE)
        boxes = _inside(table, rows)
        small = (table.boxes[rows, 2:] < 1).any(axis=1)
        seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        learnt[rows] = (table.crowd[rows] == 0) & ~small & seen
        thin += int(np.count_nonzero(small))
    return learnt, thin


def _masked(masks: Segmentations, annotations: Path) -> NDArray[np.bool_]:
    """Which objects have a segmentation, (n,); those that have none are told of."""
    present = masks.present
    without = int(np.count_nonzero(~present))
    if without:
        print(
            f"{annotations}: {without} of {len(present)} objects have no segmentation; they are "
            f"not learnt from, and no mask metric counts them",
            file=sys.stderr,
        )
    return present


def _inside(table: Table, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """Some boxes as xyxy, cut at the edges of their images, (n, 4)."""
    boxes = table.boxes[rows]
    limits = np.tile(table.image_sizes[table.image_rows[rows]], 2)
    corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)
    return np.minimum(np.maximum(corners, 0), limits).astype(np.float32)
