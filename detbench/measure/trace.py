"""Run a detector on meta tensors and see every layer and every operator that runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from detbench.measure import meta

OTHER = "other"

LayerCost = Callable[[Any, Tensor, Tensor], int]  # of a layer, its input and its output


class Rules(Protocol):
    """A way of counting."""

    def layer(self, layer: nn.Module) -> LayerCost | None:
        """How to count this layer as a whole, or None to look at the operators inside."""

    def operator(self, name: str, arguments: tuple[Any, ...], result: Any) -> int | None:
        """What one call of an operator outside counted layers costs, or None: not counted."""


# Operators that make floating-point tensors without arithmetic: they move, view or create.
_MOVES = """
alias arange as_strided cat clone constant_pad_nd contiguous copy detach empty empty_like
empty_strided expand fill flip full full_like gather index index_put index_select lift_fresh
masked_fill narrow new_empty new_empty_strided new_full new_ones new_zeros ones ones_like permute
pixel_shuffle pixel_unshuffle repeat reshape reshape_alias roll scalar_tensor scatter select slice
slice_scatter split split_with_sizes squeeze stack t to to_copy transpose unbind unfold unsafe_view
unsqueeze view where zero zeros zeros_like
"""
MOVES = frozenset(_MOVES.split())


@dataclass
class Trace:
    """What one forward pass did.

    Attributes:
        parts: cost per part of the detector.
        operators: the same cost per kind of layer or operator.
        uncounted: operators that did arithmetic outside the rules, with their calls.
    """

    parts: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)


class _Recorder(TorchDispatchMode):
    """Sees operators as they are dispatched; layers report themselves to it through hooks."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.trace = Trace()
        self.running: list[str] = []  # the part of each running module, outermost first
        self.inside = 0  # how many of the running modules are counted as a whole

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func._schema.name).rpartition("::")[2].strip("_")  # aten::add_ is add
        result = meta.call(func, args, kwargs or {})
        if self.inside == 0:
            cost = self.rules.operator(name, args, result)
            if cost is not None:
                self.add(name, cost)
            elif name not in MOVES and _makes_floats(result):
                self.trace.uncounted[name] += 1
        return result

    def add(self, name: str, cost: int) -> None:
        self.trace.parts[self.running[-1] if self.running else OTHER] += cost
        self.trace.operators[name] += cost


def _makes_floats(result: Any) -> bool:
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return any(isinstance(output, Tensor) and output.is_floating_point() for output in outputs)


def run(module: nn.Module, images: Tensor, parts: dict[str, nn.Module], rules: Rules) -> Trace:
    """Forward ``images`` through ``module`` once, in eval mode, and record what it costs.

    Args:
        module: on the meta device, so that nothing is computed.
        images: (B, 3, H, W), on the meta device.
        parts: name -> module. What belongs to two parts is counted under both names joined by
            ``+``, what belongs to none under ``other``.
        rules: what each layer and operator costs.
    """
    recorder = _Recorder(rules)
    with ExitStack() as stack:
        stack.enter_context(_eval_mode(module))
        stack.enter_context(_hooks(module, _names(parts), recorder))
        stack.enter_context(torch.no_grad())
        stack.enter_context(recorder)
        module(images)
    return recorder.trace


def _names(parts: dict[str, nn.Module]) -> dict[nn.Module, str]:
    """Every module under a part -> the names of its parts, joined by ``+``."""
    names: dict[nn.Module, list[str]] = {}
    for name, part in parts.items():
        for module in part.modules():
            names.setdefault(module, []).append(name)
    return {module: "+".join(found) for module, found in names.items()}


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@contextmanager
def _hooks(module: nn.Module, names: dict[nn.Module, str], recorder: _Recorder) -> Iterator[None]:
    """Tell ``recorder`` which part runs, and let layers that count as a whole count themselves."""
    costs = {layer: recorder.rules.layer(layer) for layer in module.modules()}

    def enter(layer: nn.Module, _: Any) -> None:
        around = recorder.running[-1] if recorder.running else OTHER
        recorder.running.append(names.get(layer, around))
        recorder.inside += costs.get(layer) is not None

    def leave(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        cost = costs.get(layer)
        if cost is not None:
            recorder.inside -= 1
            if recorder.inside == 0:
                recorder.add(type(layer).__name__, cost(layer, inputs[0], output))
        recorder.running.pop()

    # Hooks of PyTorch's on every module: cheaper than hooks on each of hundreds.
    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
