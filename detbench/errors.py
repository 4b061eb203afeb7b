"""What can go wrong, as one tree.

    DetbenchError                 the user can mend it: one line, exit code 2
    ├── RecipeError               a recipe or a ``--set`` is wrong (may hold several mistakes)
    ├── DataError                 a data set, an annotation file or an image
    ├── WeightsError              a checkpoint or a weights file
    ├── DeviceError               a device that is not there
    ├── StoreError                the results folder
    └── CellFailed                a run that started and did not finish: exit code 1

A message says what is wrong, where it is, and what to do. Anything that is not a
``DetbenchError`` is a bug of ours and keeps its traceback.
"""


class DetbenchError(Exception):
    """Base of everything a user can mend."""

    exit_code = 2


class RecipeError(DetbenchError):
    """One or more mistakes in a recipe, each a sentence with its key path."""

    def __init__(self, mistakes: list[str] | str) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__("\n".join(self.mistakes))


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
