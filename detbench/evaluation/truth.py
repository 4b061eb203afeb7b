"""Ground truth to score a results file against, from annotations alone: no images, no torch."""

from __future__ import annotations

from pathlib import Path

from detbench.data.coco_check import Table, check
from detbench.errors import DataError
from detbench.evaluation.detections import GroundTruth
from detbench.evaluation.results import read
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Data


def of_file(path: Path, masks: bool = False) -> Table:
    """What an annotation file holds, checked; with the masks of objects where asked for.

    Raises:
        DataError: missing, truncated or inconsistent.
    """
    return check(read(path), path, masks)


class Truths:
    """The val splits' ground truths of any data sets, each read once.

    Args:
        root: the data folder; none if it is not known, and then nothing can be read.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._read: dict[tuple[str, bool], GroundTruth] = {}

    def of(self, data: Data, masks: bool = False) -> GroundTruth:
        """The val split's ground truth, perhaps with masks; the images need not be there."""
        key = digest(data), masks
        if key not in self._read:
            if self.root is None:
                raise DataError("the data set's folder is not known")
            self._read[key] = data.truth(self.root, masks)
        return self._read[key]
