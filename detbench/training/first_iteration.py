"""What the first iteration says: whether the detector can learn at all, before hours are spent.

Its classification losses are compared with those at the prior, that is of scores that know nothing
yet; its gradient's norm with ``training.clip``; and parts that no gradient reaches are named. This
waits for the device, once, and draws no random number, so that no later bit depends on it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from detbench.detectors.dense import DenseDetector
from detbench.detectors.roi import RoiDetector
from detbench.errors import CellFailed
from detbench.recipe.experiment import Training
from detbench.results.files import write_atomic
from detbench.stages.assignment import Assigned
from detbench.stages.convolution import prior_bias
from detbench.stages.outputs import Outputs
from detbench.stages.supervision.classification import Focal, QualityFocal

FILE = "first.json"
"""Beside the loss curve: what was seen, and the sentences about it."""
TIMES_PRIOR = 5.0
"""A classification loss that starts this many times above that at the prior is reported. Those of
every detector here start within a tenth of it, unless what they read has exploded."""
TIMES_CLIP = 100.0
"""So is a gradient that clipping shrinks by more than this factor."""
PRIOR = 0.01
"""Probability of a class at the start of a dense detector (RetinaNet, section 4.1)."""
STARTS_BEHIND_ZERO = "shared sampling"
"""A part whose first gradient is zero by design: the layers that read it start at zero."""

logger = logging.getLogger(__name__)


@dataclass
class FirstIteration:
    """What is seen in the first iteration of a training.

    Attributes:
        priors: name of a loss -> what it would be at the prior, a scalar on the device.
        uniform: likewise, of losses for which it is a plain number.
        norm: of the gradient, before clipping, on the device.
        silent: parts of the detector that no gradient reached.
    """

    priors: dict[str, Tensor] = field(default_factory=dict)
    uniform: dict[str, float] = field(default_factory=dict)
    norm: Tensor | None = None
    silent: list[str] = field(default_factory=list)

    @contextmanager
    def watching(self, detector: nn.Module) -> Iterator[None]:
        """Note, while ``detector`` computes its losses, what they would be at the prior."""
        if isinstance(detector, DenseDetector):
            with _at_prior(detector, self.priors):
                yield
        else:
            if isinstance(detector, RoiDetector):
                self.uniform |= dict(detector.uniform())
            yield

    def gradients(self, detector: nn.Module, norm: Tensor | None, scale: float) -> None:
        """Take the gradients of the first step.

        Args:
            norm: of all of them, before clipping; None if it is not known.
            scale: fp16's loss scale, by which to divide them where the norm is not known.
        """
        trained = [p for p in detector.parameters() if p.requires_grad]
        found = [p.grad for p in trained if p.grad is not None]
        if norm is None and found:
            norm = torch.stack([grad.float().norm() for grad in found]).norm() / scale
        self.norm = norm
        self.silent = list(_silent(detector))

    def judge(
        self, losses: Mapping[str, Tensor], training: Training, path: Path, kept: bool
    ) -> None:
        """Report what cannot learn, and write what was seen.

        Args:
            losses: of the whole batch; those that are not finite are reported elsewhere.
            path: of the file to write; ``kept`` False leaves it to another process.

        Raises:
            CellFailed: the gradient is not finite, although the loss is.
        """
        values = _values(losses)
        known = _values(self.priors) | self.uniform
        priors = {name: value for name, value in known.items() if name in values}
        norm = None if self.norm is None else float(self.norm)
        if not all(map(math.isfinite, values.values())):
            return
        broken = norm is not None and not math.isfinite(norm)
        if broken and training.precision != "fp16":  # whose first steps may be skipped
            raise CellFailed(
                "the gradient was not finite in the first iteration, though the loss was "
                f"({_listed(values)}): an operation of the detector has no gradient there"
            )
        notes = [*_above(values, priors), *_clipped(norm, training.clip), *_unreached(self.silent)]
        for note in notes:
            logger.warning("%s", note)
        if kept:
            seen = {
                "losses": values,
                "prior": priors,
                "gradient_norm": None if broken else norm,
                "notes": notes,
            }
            write_atomic(path, json.dumps(seen, indent=1).encode())


def check_reached(total: Tensor) -> None:
    """Raise ``CellFailed`` if the loss depends on no trainable parameter."""
    if not total.requires_grad:
        raise CellFailed(
            "no gradient reaches any parameter: the loss does not depend on what trains, so that "
            "nothing can be learnt"
        )


def read(path: Path) -> dict[str, Any]:
    """What ``judge`` kept; empty if there is none, or it cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _at_prior(detector: DenseDetector, found: dict[str, Tensor]) -> Iterator[None]:
    """Compute the classification loss of a dense detector at the prior beside the actual one."""

    def note(loss: nn.Module, given: tuple[Outputs, Assigned]) -> None:
        with torch.no_grad():
            prior = torch.full_like(given[0].logits, prior_bias(PRIOR))
            found.update(loss.forward(replace(given[0], logits=prior), given[1]))

    supervision: Any = detector.supervisions[0]
    watched = [x for x in supervision.losses.values() if isinstance(x, Focal | QualityFocal)]
    hooks = [loss.register_forward_pre_hook(note) for loss in watched]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _silent(detector: nn.Module) -> Iterator[str]:
    """Trainable parts that no gradient reached: it is missing, or zero everywhere."""
    if not hasattr(detector, "parts"):
        return
    parts: dict[str, nn.Module] = cast(Callable[[], dict[str, nn.Module]], detector.parts)()
    for name, part in parts.items():
        trained = [p for p in part.parameters() if p.requires_grad]
        if not trained or name == STARTS_BEHIND_ZERO:
            continue
        if not any(p.grad is not None and bool(p.grad.any()) for p in trained):
            yield name


def _values(found: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in found.items()}


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _above(values: Mapping[str, float], priors: Mapping[str, float]) -> Iterator[str]:
    for name, prior in priors.items():
        if prior > 0 and values[name] > TIMES_PRIOR * prior:
            yield (
                f"the first loss '{name}' is {values[name]:.3g}, {values[name] / prior:.0f} times "
                f"what scores that know nothing give ({prior:.3g}): its inputs are too large to "
                "learn from (frozen random norms, or weights of another normalisation?)"
            )


def _clipped(norm: float | None, clip: float | None) -> Iterator[str]:
    if norm is None or clip is None or not math.isfinite(norm):
        return
    if norm > TIMES_CLIP * clip:
        yield (
            f"the first gradient's norm is {norm:.3g}, {norm / clip:.0f} times training.clip "
            f"({clip:g}): what it learns from is cut to a share of a hundredth or less"
        )


def _unreached(silent: list[str]) -> Iterator[str]:
    if silent:
        yield (
            f"no gradient reached {', '.join(silent)} in the first iteration: unless its later "
            "images differ, that part does not learn"
        )
