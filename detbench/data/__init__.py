"""Data sets in COCO form: their kinds, what is read of them, and how they are loaded.

``kind`` is the contract of a kind, ``kinds`` the table of them. This module imports no torch: the
command line asks it what is there before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from detbench.data.coco_check import Table
    from detbench.data.kinds import Data

Split = Literal["train", "val"]


@dataclass(frozen=True)
class Category:
    """A class: the data set's own id, and its name. Its label is its position in the list."""

    id: int
    name: str


@dataclass(frozen=True)
class Sample:
    """One image and the objects to learn from; boxes of crowds are left out.

    Attributes:
        image: (3, H, W), uint8, RGB.
        boxes: (n, 4), float32, xyxy in pixels of ``image``, inside it; n may be 0.
        labels: (n,), int64, 0-based.
        image_id: the data set's own id.
        masks: (n, H, W), uint8, 0 or 1; one may have no pixel. None unless the data set was opened
            with masks.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    image_id: int
    masks: Tensor | None = None


class Dataset(Protocol):
    """What loaders and evaluation need of a data set.

    Attributes:
        categories: the classes; a label is a position in this list.
        sizes: (height, width) of each image, known without reading it.
        trainable: indices of the images that have an object to learn from.
        in_memory: samples cost next to nothing after their first use.
    """

    @property
    def categories(self) -> list[Category]: ...

    @property
    def sizes(self) -> Sequence[tuple[int, int]]: ...

    @property
    def trainable(self) -> Sequence[int]: ...

    @property
    def in_memory(self) -> bool: ...

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample:
        """Image ``index`` with its objects."""
        ...

    def objects(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index of the image and label of each object to learn from, (n,) each."""
        ...

    def truth(self) -> dict[str, Any] | Table:
        """What detections are scored against: ``ground_truth``, or the same in columns."""
        ...

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary: images, categories and all annotations, crowds included; with masks,
        these as ``segmentation``, compressed RLEs.
        """
        ...


def load(data: Data, split: Split, root: Path, seed: int = 0, masks: bool = False) -> Dataset:
    """Open one split of a data set.

    Args:
        data: which one.
        split: ``train`` or ``val``.
        root: the data folder; ``shapes`` and ``coco-json`` do not use it.
        seed: of the cell, for training scenes that are drawn by it.
        masks: samples and the ground truth have the masks of objects, which costs reading them.

    Raises:
        DataError: it is missing, damaged or inconsistent, or has no masks.
    """
    return data.open(split, root, seed, masks)


def class_names(dataset: Dataset) -> list[str]:
    """What the classes of a data set are called, in the order of the labels."""
    return [category.name for category in dataset.categories]
