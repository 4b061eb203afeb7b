"""``supervision``: with which losses and weights each task is supervised.

A loss is a module: ``(outputs, assigned) -> scalars by name``. ``outputs`` are the detector's,
``Outputs`` of ``detbench.stages.outputs``; ``assigned`` are its task's targets, ``Assigned`` of
``detbench.stages.assignment``. A joint criterion stands in place of both tasks' losses and is given
``PerTask`` of the latter.

Losses take every candidate of the batch and weights, never an index list, so that a training step
on a GPU does not wait for one.
"""
