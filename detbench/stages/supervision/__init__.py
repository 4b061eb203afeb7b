"""``supervision``: with which losses and weights each task is taught.

Losses take every candidate of the batch and a mask, never an index list, so that a training step on
a GPU does not wait for one.
"""

from detbench.stages.supervision.classification import Focal, QualityFocal
from detbench.stages.supervision.localisation import L1, Giou, LocInputs
from detbench.stages.supervision.quality import Centerness

__all__ = ["Centerness", "Focal", "Giou", "L1", "LocInputs", "QualityFocal"]
