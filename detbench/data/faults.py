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


@dataclass(frozen=True)
class Told:
    """What becomes of a fault: it is listed in ``faults``, or raised where that is none."""

    faults: list[str] | None = None

    def say(self, said: str) -> None:
        """Raises: DataError, if it is not listed, or if there are more than anyone reads."""
        if self.faults is None or len(self.faults) == MOST:
            raise DataError(said)
        self.faults.append(said)


def fail(path: Path, problem: str, advice: str, entries: Sequence[dict[str, Any]] = ()) -> NoReturn:
    """Raise the fault."""
    raise Fault(f"annotation file {path}: {problem}; {advice}", entries)


def more(path: Path) -> str:
    """What is said after the last that is named."""
    return f"annotation file {path}: more faults: mend these first"
