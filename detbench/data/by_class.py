"""Class-aware sampling (Shen et al. 2016): first a class, then one of its images. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detbench.data import Dataset
from detbench.data.columns import distinct
from detbench.data.draws import integers

_OF_CLASSES = 2  # of the keys of random draws; ``loading`` has 0 and 1
_CLASS, _IMAGE = 0, 1


class ByClass:
    """The images of each class, each once, of the classes that have an object to learn from.

    Args:
        dataset: with at least one such object.
    """

    def __init__(self, dataset: Dataset) -> None:
        images, labels = dataset.objects()
        labels, images = np.divmod(distinct(labels * len(dataset) + images), len(dataset))
        self._images = images.astype(np.int64)
        _, self._starts, self._counts = np.unique(labels, return_index=True, return_counts=True)

    def draw(self, count: int, seed: int, epoch: int) -> NDArray[np.int64]:
        """An epoch's images, (count,): a pure function of its arguments."""
        key = (seed, _OF_CLASSES, epoch)
        classes = integers(np.full(count, len(self._counts)), *key, _CLASS)
        places = integers(self._counts[classes], *key, _IMAGE)
        return self._images[self._starts[classes] + places]
