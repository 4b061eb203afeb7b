"""What is wrong with an annotation file, and which of its entries are to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from detbench.errors import DataError

RESTORE = "restore the file"
MOST = 20
"""Faults that are named; a file with more has one for many a reason."""


class Fault(DataError):
    """A fault of an annotation file.

    Attributes:
        entries: of its JSON that have it; empty where the whole file has.
    """

    def __init__(self, message: str, entries: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.entries = entries

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.entries)


@dataclass
class Faults:
    """Faults of one file as they are found: the first is raised, or up to ``MOST`` are listed.

    Attributes:
        listed: where to; none raises.
        count: how many of this file are listed.
    """

    path: Path
    listed: list[str] | None = None
    count: int = 0

    def add(self, said: str) -> None:
        """List a fault.

        Raises:
            DataError: it, where faults are not listed; that there are more, after ``MOST``.
        """
        if self.listed is None:
            raise DataError(said)
        if self.count == MOST:
            raise DataError(more(self.path))
        self.count += 1
        self.listed.append(said)


def fail(path: Path, problem: str, advice: str, entries: Sequence[dict[str, Any]] = ()) -> NoReturn:
    """Raise the fault."""
    raise Fault(f"annotation file {path}: {problem}; {advice}", entries)


def more(path: Path) -> str:
    """What is said after the last that is named."""
    return f"annotation file {path}: more faults: mend these first"
