"""``supervision``: with which losses and weights each task is taught.

A classification loss maps (logits (B, N, C), labels (B, N), assignment, quality (B, N) or none) to
a scalar and says by ``needs_quality`` whether it reads the quality; a localisation loss maps
``LocInputs`` to scalars by name.

Losses take every candidate of the batch and a mask, never an index list, so that a training step on
a GPU does not wait for one.
"""

from detbench.stages.supervision.classification import Focal, QualityFocal
from detbench.stages.supervision.localisation import L1, Giou, LocInputs
from detbench.stages.supervision.quality import Centerness

__all__ = ["Centerness", "Focal", "Giou", "L1", "LocInputs", "QualityFocal"]
