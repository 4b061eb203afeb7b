"""``assignment``: which candidates supervise each task.

An option is a module: ``(outputs, targets, epoch) -> Assignment``, batched over images. ``outputs``
are the detector's (``detbench.stages.outputs``), detached; what is not read is not computed.
Its attribute ``normaliser`` is what losses are divided by unless they have one of their own.
"""

from detbench.stages.assignment.assignment import (
    BACKGROUND,
    IGNORE,
    Assigned,
    Assignment,
    Normaliser,
)

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "Assigned",
    "Assignment",
    "Normaliser",
]
