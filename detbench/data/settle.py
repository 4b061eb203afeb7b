"""The content of what a cell names by a path: data sets, weights, own modules. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from detbench import inputs
from detbench.data import content
from detbench.data.kind import DataSet
from detbench.errors import CHANGED_SINCE, DataError, WeightsError
from detbench.recipe import embedded, source
from detbench.recipe.base import Custom, Spec
from detbench.recipe.digest import SCALARS
from detbench.recipe.experiment import Cell, Training

S = TypeVar("S", bound=Spec)


def settled(spec: S, root: Path | None) -> S:
    """A cell, or a part of one, with the content of its files, so that its digest tells them.

    What is missing stays as it is.

    Args:
        root: folder of data sets; None leaves those as they are.

    Raises:
        DetbenchError: its recipe asks for another content, or a file cannot be read.
    """
    found: S = _settled(_named(spec) if isinstance(spec, Cell) else spec, root)
    return found


def check_weights(training: Training) -> None:
    """Raise ``WeightsError`` if the file that a training starts from has another content than its
    cell was planned with.
    """
    found = _content(training.weights)
    if found is not None and training.weights_content not in (None, found):
        raise WeightsError(
            f"{training.weights}: not the weights that are asked for: the file {CHANGED_SINCE}"
        )


def _settled(value: Any, root: Path | None) -> Any:
    if value is None or isinstance(value, SCALARS):  # of tuples; asking for a Spec is slow
        return value
    if isinstance(value, tuple):
        return tuple(_settled(item, root) for item in value)
    match value:
        case DataSet():
            return value if root is None else value.settled(root)
        case Training():
            return _with_content(value)
        case Custom():
            return source.settled(value)
        case Spec():
            fields = vars(value).items()  # iterating a Spec is slow
            old = {name: item for name, item in fields if not isinstance(item, SCALARS)}
            new = {name: _settled(item, root) for name, item in old.items()}
            return value if new == old else value.model_copy(update=new)
    return value


def _named(cell: Cell) -> Cell:
    """A cell that starts from the file that its backbone names, as if it were asked for."""
    file = getattr(cell.detector.backbone, "weights", None)
    if cell.training.weights != "default" or file is None or _file(file) is None:
        return cell
    backbone = cell.detector.backbone.model_copy(update={"weights": None})
    detector = cell.detector.model_copy(update={"backbone": backbone})
    training = cell.training.model_copy(update={"weights": file})
    return cell.model_copy(update={"detector": detector, "training": training})


def _file(weights: str) -> Path | None:
    """The file that is meant, if it is there."""
    if weights in ("none", "default") or embedded.is_name(weights):
        return None
    path = inputs.expanded(weights)
    return path if path.is_file() else None


def _content(weights: str) -> str | None:
    path = _file(weights)
    try:
        return None if path is None else content.of_files([path])
    except DataError as error:
        raise WeightsError(str(error)) from None


def _with_content(training: Training) -> Training:
    found, wanted = _content(training.weights), training.weights_content
    if found is None:
        return training
    if wanted not in (None, found):
        raise WeightsError(
            f"{training.weights}: not the weights that are asked for, whose content is "
            f"{wanted[:12]}...: restore them, or give the command again without "
            "training.weights_content"
        )
    return training.model_copy(update={"weights_content": found})
