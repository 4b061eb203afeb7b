"""What can go wrong, as one tree.

    DetbenchError                 the user can mend it: one line, exit code 2
    ├── RecipeError               a recipe or a ``--set`` is wrong (may hold several mistakes)
    ├── DataError                 a data set, an annotation file or an image
    ├── WeightsError              a checkpoint or a weights file
    ├── DeviceError               a device that is not there
    ├── StoreError                the results folder
    └── CellFailed                a run that started and did not finish: exit code 1
        └── ProcessLost           because a process that helped it was killed: try again

A message says what is wrong, where it is, and what to do. It is one line whatever it quotes: line
breaks and what a terminal would obey are written as escapes. Anything that is not a
``DetbenchError`` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

CHANGED_SINCE = "changed since this was planned: the same command plans again"
"""What is said of a file whose content is no longer that of a cell."""


def visible(text: str) -> str:
    r"""``text`` in printable characters, others escaped as in ``\n`` and ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


# Control characters, ends of lines and paragraphs, marks and overrides of direction.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def shown(text: str, escape: Callable[[str], str] = visible) -> str:
    """A text of any origin as one line of what can be seen.

    Args:
        escape: what stands for a character that cannot.
    """
    return _OBEYED.sub(lambda found: escape(found[0]), text)


def is_worker_death(error: BaseException) -> bool:
    """Whether torch tells by it that a process that loads data has died. It does so from a signal
    handler, so in whatever runs at that moment.
    """
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")


class DetbenchError(Exception):
    """Base of everything a user can mend.

    Attributes:
        quiet: whether another process of the same run has said it; none in a single process.
    """

    exit_code = 2
    quiet: bool | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(visible(message))


class RecipeError(DetbenchError):
    """One or more mistakes in a recipe, each a sentence with its key path."""

    def __init__(self, mistakes: list[str] | str) -> None:
        given = [mistakes] if isinstance(mistakes, str) else mistakes
        self.mistakes = [visible(mistake) for mistake in given]
        Exception.__init__(self, "\n".join(self.mistakes))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mistakes,)


class DataError(DetbenchError):
    """A data set that is missing, damaged or inconsistent."""


class WeightsError(DetbenchError):
    """A checkpoint that is missing, damaged or made for another detector."""


class DeviceError(DetbenchError):
    """A device was asked for that this machine does not have."""


class StoreError(DetbenchError):
    """The results folder cannot be read or written."""


class CellFailed(DetbenchError):
    """A run started and could not finish, for example because its loss became NaN."""

    exit_code = 1


class ProcessLost(CellFailed):
    """A process that a run needs was killed; the run can go on from its checkpoint."""


def worker_lost(error: BaseException) -> ProcessLost:
    """What to say of such a death."""
    return ProcessLost(
        f"a process that loads data died ({' '.join(str(error).split())}); most often memory ran "
        "out: try fewer --jobs or a smaller training.batch"
    )
