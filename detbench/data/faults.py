"""What is wrong with an annotation file, and which of its entries are to blame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from detbench.errors import DataError


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


def fail(path: Path, problem: str, advice: str, entries: Sequence[dict[str, Any]] = ()) -> NoReturn:
    """Raise the fault."""
    raise Fault(f"annotation file {path}: {problem}; {advice}", entries)
