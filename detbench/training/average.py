"""The average of the weights during training, which is evaluated in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from detbench.recipe.experiment import Ema

# torch's AveragedModel does the same sum, but reads a count back from the device at each step, and
# keeps a second copy of what a module holds beside its weights.


class Average:
    """An exponential moving average of a detector's weights and statistics (``Ema``).

    It holds every floating-point tensor of the state, running statistics among them: averaged
    weights need the statistics that belong to them. Whole numbers, as a norm's count of batches,
    are the detector's own. What is averaged depends on the iteration alone, so a run resumes with
    ``state`` and no more.

    Args:
        detector: with its initial weights, which the average starts from, on its device.
    """

    def __init__(self, detector: nn.Module, settings: Ema) -> None:
        self._detector = detector
        self._decay = settings.decay
        self._average = {name: tensor.clone() for name, tensor in self._current().items()}

    def update(self, iteration: int) -> None:
        """Take in the weights after ``iteration`` (from 1). Nothing waits for the device."""
        current = self._current()
        add = get_ema_multi_avg_fn(decay(self._decay, iteration))
        add(list(self._average.values()), [current[name] for name in self._average], None)

    def state(self) -> dict[str, Tensor]:
        """The averaged tensors by their names in the detector's state; not copies."""
        return dict(self._average)

    def current(self) -> dict[str, Tensor]:
        """The same tensors of the detector, which training goes on from; not copies."""
        return {name: tensor for name, tensor in self._current().items() if name in self._average}

    def restore(self, average: dict[str, Tensor], current: dict[str, Tensor]) -> None:
        """Restore what ``state`` and ``current`` returned, of the same detector.

        Raises:
            KeyError, RuntimeError: they are of another detector.
        """
        _copy(average, self._average)
        _copy(current, self._current())

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the detector the averaged weights within, and its own again afterwards."""
        own = {name: tensor.clone() for name, tensor in self.current().items()}
        try:
            self.put()
            yield
        finally:
            _copy(own, self._current())

    def put(self) -> None:
        """Give the detector the averaged weights; its training is over."""
        _copy(self._average, self._current())

    def _current(self) -> dict[str, Tensor]:
        # Asked for anew each time: a module may put another tensor in a buffer's place.
        state = self._detector.state_dict().items()
        return {name: value for name, value in state if _averaged(value)}


def decay(wanted: float, iteration: int) -> float:
    """Decay of the average at ``iteration`` (from 1), at most ``wanted``.

    It starts small, (1 + t) / (10 + t), so that the initial weights are soon forgotten, as in
    TensorFlow's ExponentialMovingAverage.
    """
    return min(wanted, (1 + iteration) / (10 + iteration))


def _averaged(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
