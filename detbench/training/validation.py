"""Scores on the val split during a training, and the best weights so far.

A look changes nothing of the training: the averaged weights take the detector's place while it is
scored, and the generators go on from where they were. So a training with looks has the bits of
one without, and one that resumes looks again at what it had not finished looking at.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from detbench.progress import Progress, Report
from detbench.recipe.experiment import Training
from detbench.training import schedule, seeding
from detbench.training.average import Average
from detbench.training.curve import Curve
from detbench.training.distributed import Team

Metrics = dict[str, float | None]
Scorer = Callable[[nn.Module, Report], Metrics]
"""Scores a detector as it will be evaluated; gives the first process metrics, in [0, 1] or none."""

logger = logging.getLogger(__name__)


def interval(training: Training, per_epoch: int) -> int:
    """Iterations between two looks; 0 where there are none."""
    looks = training.validation
    if looks is None:
        return 0
    return looks.every * (per_epoch if looks.unit == "epochs" else 1)


class Validations:
    """Looks at a detector during its training.

    Args:
        detector: on its device.
        average: of its weights, which is scored in their place.
        training: whose ``validation`` is not none.
        per_epoch: iterations of an epoch.
        drawing: the generator that several processes share.
        scorer: of the detector.
    """

    def __init__(
        self,
        detector: nn.Module,
        average: Average | None,
        training: Training,
        per_epoch: int,
        drawing: torch.Generator | None,
        scorer: Scorer,
    ) -> None:
        assert training.validation is not None
        self._detector, self._average, self._drawing = detector, average, drawing
        self._settings, self._scorer = training.validation, scorer
        self._every, self._kept = interval(training, per_epoch), bool(training.chosen_by)
        self._total = schedule.iterations(training, per_epoch)
        self._looked = 0
        self._best: dict[str, Any] = {}

    @property
    def looked(self) -> int:
        """The iteration after which it looked last; 0 is none."""
        return self._looked

    def due(self, iteration: int) -> bool:
        """Whether to look after ``iteration`` (from 1), where that was not done."""
        planned = iteration > 0 and (iteration % self._every == 0 or iteration == self._total)
        return planned and iteration > self._looked

    def counts(self, iteration: int) -> bool:
        """Whether a look after a finished ``iteration`` is one of this training's."""
        return iteration <= self._looked and (
            iteration % self._every == 0 or iteration == self._total
        )

    def look(self, iteration: int, curve: Curve, report: Report, team: Team) -> None:
        """Score what would be evaluated after ``iteration``, and write it to the curve."""
        metrics = self._score(report, team)
        curve.add([{"iteration": iteration, "validation": metrics}] if team.first else [])
        self._looked = iteration
        score = metrics[self._settings.metric]
        assert score is not None  # or it would have been refused before the training
        better = not self._best or score > self._best["score"]
        if better:
            self._best = {"iteration": iteration, "score": score}
            if self._kept:
                self._best["detector"] = self._evaluated()
        best = self._best
        standing = "the best so far" if better else f"best after iteration {best['iteration']}"
        logger.info(
            "validation after iteration %d of %d: %s %.2f, %s",
            *(iteration, self._total, self._settings.metric, 100 * score, standing),
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"looked": self._looked, "best": self._best}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned; of a training without looks there is nothing."""
        self._looked = int(state.get("looked", 0))
        self._best = dict(state.get("best", {}))

    def put(self, detector: nn.Module) -> None:
        """Give the detector the best weights; its training is over."""
        detector.load_state_dict(self._best["detector"])

    def _score(self, report: Report, team: Team) -> Metrics:
        training = self._detector.training
        device = next(self._detector.parameters()).device
        states = seeding.states(device, self._drawing)
        averaged = self._average.in_place() if self._average else contextlib.nullcontext()
        try:
            with averaged:
                metrics = self._scorer(self._detector, report)
        finally:
            self._detector.train(training)
            seeding.restore(states, device, self._drawing)
        return team.from_first(lambda: metrics)

    def _evaluated(self) -> dict[str, Tensor]:
        """A copy of the detector's state, with the averaged weights, in the host's memory."""
        averaged = self._average.state() if self._average else {}
        state = {**self._detector.state_dict(), **averaged}
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


class Heard:
    """Passes a validation's reports on; of several processes none leaves before the others.

    Attributes:
        raised: what a report raised, to stop the training; none if none did.
    """

    def __init__(self, report: Report, team: Team) -> None:
        self._report, self._team = report, team
        self.raised: BaseException | None = None

    def __call__(self, at: Progress) -> None:
        if self.raised is not None:
            return
        try:
            self._report(replace(at, phase="validate"))
        except BaseException as error:
            self.raised = error
            if self._team.alone:
                raise
