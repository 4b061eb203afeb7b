"""A step on a large batch in the memory of a small one, with the losses of the whole batch.

The batch goes through the network in parts, without gradients; its losses are computed from all
parts' outputs at once, so that whatever they count, draw or accumulate is the whole batch's; and
their gradients with respect to the outputs then go back through the network, part by part, which
costs the forward pass again. All is as in one pass but for rounding. Norms that are live see the
images of their part alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from detbench.structures import Targets
from detbench.training.distributed import Team


class Accumulated:
    """A detector's losses in parts; after their ``backward`` comes ``finish``.

    Args:
        detector: has ``network(images)``, whose tensors have one row an image, and
            ``losses_of(outputs, images, targets, epoch)``.
        parts: into how many a batch is split; a batch of fewer images has so many.
        team: processes whose gradients are averaged.
    """

    def __init__(self, detector: Any, parts: int, team: Team) -> None:
        self._detector, self._parts, self._team = detector, parts, team
        self._images: tuple[Tensor, ...] = ()
        self._random: list[list[Tensor]] = []
        self._leaves: list[Tensor] = []

    def __call__(self, images: Tensor, targets: Targets, epoch: float) -> dict[str, Tensor]:
        """Losses of the whole batch, of which no gradient has reached the network yet."""
        parts = self._team.fewest(min(self._parts, len(images)))
        self._images, self._random, outputs = images.tensor_split(parts), [], []
        before = [(buffer, buffer.clone()) for buffer in self._detector.buffers()]
        with torch.no_grad():
            for part in self._images:
                self._random.append(_random(images.device))
                outputs.append(self._detector.network(part))
            for buffer, old in before:
                buffer.copy_(old)
        torch.clear_autocast_cache()  # what is cast without gradients has none
        columns = zip(*(_tensors(one) for one in outputs), strict=True)
        self._leaves = [torch.cat(column).requires_grad_() for column in columns]
        whole = _rebuilt(outputs[0], iter(self._leaves))
        losses: dict[str, Tensor] = self._detector.losses_of(whole, images, targets, epoch)
        return losses

    def finish(self) -> None:
        """Take the gradients through the network, and average them over the processes."""
        after, start = _random(self._leaves[0].device), 0
        for part, state in zip(self._images, self._random, strict=True):
            _draw_again(state, part.device)
            outputs = _tensors(self._detector.network(part))
            rows = slice(start, start + len(part))
            pairs = [
                (output, leaf.grad[rows])
                for output, leaf in zip(outputs, self._leaves, strict=True)
                if leaf.grad is not None and output.requires_grad
            ]
            if pairs:
                reached, gradients = zip(*pairs, strict=True)
                torch.autograd.backward(reached, gradients)
            start += len(part)
        _draw_again(after, self._leaves[0].device)
        self._images, self._leaves = (), []
        self._team.average_gradients(self._detector)


def _random(device: torch.device) -> list[Tensor]:
    """The states of the generators that a network may draw from."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _draw_again(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def _children(outputs: Any) -> list[Any]:
    if is_dataclass(outputs):
        return [getattr(outputs, field.name) for field in fields(outputs)]
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, list | tuple) else []


def _tensors(outputs: Any) -> list[Tensor]:
    """The tensors of nested records, lists and dictionaries, in order."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [tensor for child in _children(outputs) for tensor in _tensors(child)]


def _rebuilt(outputs: Any, tensors: Iterator[Tensor]) -> Any:
    """The same records with other tensors."""
    if isinstance(outputs, Tensor):
        return next(tensors)
    made = [_rebuilt(child, tensors) for child in _children(outputs)]
    if is_dataclass(outputs) and not isinstance(outputs, type):
        names = [field.name for field in fields(outputs)]
        return replace(outputs, **dict(zip(names, made, strict=True)))
    if isinstance(outputs, dict):
        return dict(zip(outputs, made, strict=True))
    return type(outputs)(made) if isinstance(outputs, list | tuple) else outputs
