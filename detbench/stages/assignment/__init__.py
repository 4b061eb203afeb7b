"""``assignment``: which candidates teach each task.

An option is an object with ``assign(candidates, targets, predictions) -> Assignment``, batched over
images; ``predictions`` are the detached (scores, decoded boxes), for options that need them, as a
function, so that options that do not need them cost nothing.
"""

from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment
from detbench.stages.assignment.atss import AtssAssigner
from detbench.stages.assignment.fcos import FcosAssigner
from detbench.stages.assignment.iou import IouAssigner

__all__ = ["BACKGROUND", "IGNORE", "Assignment", "AtssAssigner", "FcosAssigner", "IouAssigner"]
