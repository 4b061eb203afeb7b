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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as F

from detbench.data import Category, Sample, images
from detbench.data.coco_check import Table, check_files, read
from detbench.data.segmentations import Segmentations


class CocoDataset:
    """Images of a folder with an annotation file in COCO's format.

    Args:
        annotations: the JSON file.
        folder: of the images, which its ``file_name``s are relative to.
        table: what was read already, from files of another format; ``annotations`` names them. Of
            one with masks samples have them too.

    Labels are positions of the category ids in ascending order, which may have holes.

    Raises:
        DataError: a file or folder is missing, damaged or inconsistent.
    """

    in_memory = False

    def __init__(self, annotations: Path, folder: Path, table: Table | None = None) -> None:
        self.path = annotations
        self.folder = folder
        table = table or read(annotations)
        self._table = table
        self.categories = [Category(i, n) for i, n in table.categories]
        self.sizes = [(int(h), int(w)) for w, h in table.image_sizes]
        check_files(folder, table.file_names, annotations)
        self._boxes = _inside(table)
        seen = (self._boxes[:, 2:] > self._boxes[:, :2]).all(axis=1)
        self._learnt = (table.crowd == 0) & (table.boxes[:, 2:] >= 1).all(axis=1) & seen
        if table.masks is not None:
            self._learnt &= _masked(table.masks, annotations)
        self._starts = np.searchsorted(table.image_rows, np.arange(len(self.sizes) + 1))
        self.trainable = np.unique(table.image_rows[self._learnt]).tolist()
        thin = int(np.count_nonzero((table.boxes[:, 2:] < 1).any(axis=1)))
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
            torch.from_numpy(self._boxes[rows]),
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

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary, see ``Table.ground_truth``."""
        return self._table.ground_truth(str(self.path))


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


def _inside(table: Table) -> NDArray[np.float32]:
    """The boxes as xyxy, cut at the edges of their images, (n, 4)."""
    limits = np.tile(table.image_sizes[table.image_rows], 2)
    corners = np.concatenate((table.boxes[:, :2], table.boxes[:, :2] + table.boxes[:, 2:]), 1)
    return np.minimum(np.maximum(corners, 0), limits).astype(np.float32)
