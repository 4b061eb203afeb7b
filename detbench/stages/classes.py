"""Which rows of a detector's parameters belong to which class, for reordering classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ClassRows:
    """A parameter whose first dimension has rows for each class.

    Attributes:
        outer: how often the classes come one after another (anchors of a cell).
        inner: rows of a class each time (sides of a box, cells predicted at once).

    Rows that are left at the end (the background's) belong to no class.
    """

    outer: int = 1
    inner: int = 1

    def taken(self, tensor: Tensor, order: Sequence[int], classes: int) -> Tensor:
        """The rows of the classes ``order``, of ``classes`` that the parameter has, then the rest.

        Args:
            tensor: (outer * classes * inner + rest, ...).

        Returns:
            (outer * len(order) * inner + rest, ...).
        """
        count = self.outer * classes * self.inner
        shape = tensor.shape[1:]
        rows = tensor[:count].reshape(self.outer, classes, self.inner, *shape)
        chosen = rows[:, torch.as_tensor(order, device=tensor.device)]
        return torch.cat((chosen.reshape(-1, *shape), tensor[count:]))


class PerClass(Protocol):
    """A module with parameters that have rows of classes, by their names in it."""

    def per_class(self) -> dict[str, ClassRows]: ...


def class_rows(detector: nn.Module) -> dict[str, ClassRows]:
    """The parameters of ``detector`` that have rows of classes, by name."""
    found: dict[str, ClassRows] = {}
    module: Any
    for path, module in detector.named_modules():
        if hasattr(module, "per_class"):
            at = f"{path}." if path else ""
            found |= {f"{at}{name}": rows for name, rows in module.per_class().items()}
    return found


def key(name: str) -> str:
    """A class's name as it is compared: MMDetection once wrote COCO's with underscores."""
    return name.replace("_", " ").casefold()


def order(given: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """The index in ``given`` of each class in ``wanted``; None if they are not the same."""
    for compared in (str, key):
        places = {compared(name): index for index, name in enumerate(given)}
        names = [compared(name) for name in wanted]
        if len(places) == len(given) == len(set(names)) and set(names) == set(places):
            return [places[name] for name in names]
    return list(range(len(given))) if list(given) == list(wanted) else None


def difference(given: Sequence[str], wanted: Sequence[str], most: int = 3) -> str:
    """In words, how a file's classes differ from the data's."""
    here, there = {key(name) for name in wanted}, {key(name) for name in given}
    parts = []
    for names, others, where in ((given, here, "file"), (wanted, there, "data")):
        odd = [name for name in names if key(name) not in others]
        if odd:
            shown = ", ".join(odd[:most]) + (", ..." if len(odd) > most else "")
            parts.append(f"only the {where} has {shown}")
    return " and ".join(parts) or "a name stands twice"
