"""``PerTask``: one value for each of the two tasks, classification and localisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

TASKS = ("cls", "loc")


@dataclass(frozen=True)
class PerTask(Generic[T]):
    """A value for classification and one for localisation.

    ``shared`` is true where both are the *same* object: then ``map`` and ``zip`` call their
    function once, so work on a shared module with a shared input is done once.
    """

    cls: T
    loc: T

    @classmethod
    def both(cls, value: T) -> PerTask[T]:
        """One object that serves both tasks."""
        return cls(value, value)

    @property
    def shared(self) -> bool:
        return self.cls is self.loc

    def map(self, function: Callable[[T], U]) -> PerTask[U]:
        """Apply ``function`` to each task's value, once if it is shared."""
        if self.shared:
            return PerTask.both(function(self.cls))
        return PerTask(function(self.cls), function(self.loc))

    def zip(self, other: PerTask[U], function: Callable[[T, U], V]) -> PerTask[V]:
        """Apply ``function`` task by task, once if both containers are shared."""
        if self.shared and other.shared:
            return PerTask.both(function(self.cls, other.cls))
        return PerTask(function(self.cls, other.cls), function(self.loc, other.loc))

    def __iter__(self) -> Iterator[T]:
        return iter((self.cls, self.loc))
