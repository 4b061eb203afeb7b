"""Data sets in COCO form: the embedded ``shapes``, COCO and Pascal VOC on disk, any COCO JSON.

This module imports no torch: the command line asks it what is there before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from detbench.recipe.experiment import Coco, CocoJson, Data, Shapes, Voc

if TYPE_CHECKING:
    from torch import Tensor

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
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    image_id: int


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
    def sizes(self) -> list[tuple[int, int]]: ...

    @property
    def trainable(self) -> Sequence[int]: ...

    @property
    def in_memory(self) -> bool: ...

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample:
        """Image ``index`` with its objects."""
        ...

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary: images, categories and all annotations, crowds included."""
        ...


def load(data: Data, split: Split, root: Path, seed: int = 0) -> Dataset:
    """Open one split of a data set.

    Args:
        data: which one.
        split: ``train`` or ``val``.
        root: the data folder; ``shapes`` and ``coco-json`` do not use it.
        seed: of the cell, for training scenes that are drawn by it.

    Raises:
        DataError: it is missing, damaged or inconsistent.
    """
    if isinstance(data, Shapes):
        from detbench.data import shapes

        count = data.train if split == "train" else data.val
        by_seed = split == "train" and data.scenes == "by-seed"
        drawn = seed if by_seed else None
        return shapes.Shapes(split, count, data.size, data.variant, data.version, drawn)
    from detbench.data import coco
    from detbench.data.sources import devkit, lists, pair

    if isinstance(data, Voc):
        from detbench.data import voc

        folder = devkit(root)
        return coco.CocoDataset(folder, folder, voc.read(folder, lists(data, split)))
    annotations, images = pair(data, split, root)
    return coco.CocoDataset(annotations, images)


def class_names(dataset: Dataset) -> list[str]:
    """What the classes of a data set are called, in the order of the labels."""
    return [category.name for category in dataset.categories]


__all__ = [
    "Category",
    "Coco",
    "CocoJson",
    "Data",
    "Dataset",
    "Sample",
    "Shapes",
    "Split",
    "Voc",
    "class_names",
    "load",
]
