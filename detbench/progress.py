"""How far something is: what is told whoever started it. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report.

    Attributes:
        phase: ``train`` or ``eval``; ``validate`` is an evaluation during the training.
        iteration: finished so far (images in ``eval`` and ``validate``).
        iterations: in all.
        loss: total training loss of the last finished iteration; none of an evaluation.
        seconds: since this process started the phase; a resumed run starts from 0 again, at
            ``start``.
        start: iteration at which this process took over, so that an estimate of the time left is
            ``seconds / (iteration - start) * (iterations - iteration)``.
    """

    phase: str
    iteration: int
    iterations: int
    loss: float | None = None
    seconds: float = 0.0
    start: int = 0

    @property
    def remaining(self) -> float | None:
        """Estimated seconds left; none before anything was done."""
        done = self.iteration - self.start
        if done <= 0:
            return None
        return self.seconds / done * (self.iterations - self.iteration)


Tell = Callable[[int, int], None]
"""Told how many parts of how many are done."""

Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A ``Report`` that tells nobody."""
