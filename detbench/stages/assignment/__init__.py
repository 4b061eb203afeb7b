"""``assignment``: which candidates teach each task.

An option is a module: ``(outputs, targets, epoch) -> Assignment``, batched over images. ``outputs``
are the detector's (``detbench.stages.outputs``), detached; what is not read of them costs nothing.
Its attribute ``normaliser`` is what losses are divided by where they do not say themselves.
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
