"""Files of weights: whose they are, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from detbench.detectors.detectron2_importer import is_detectron2
from detbench.detectors.importer import looks_like_mmdet
from detbench.detectors.torchvision_importer import is_torchvision
from detbench.errors import WeightsError
from detbench.training import checkpoint

State = dict[str, Tensor]
Origin = Literal["detbench", "MMDetection", "torchvision", "detectron2", "other"]


@dataclass(frozen=True)
class Content:
    """What a file of weights holds.

    Attributes:
        origin: whose detector it is; ``other`` is a backbone, or a plain state dict of ours.
        state: tensors by their names in the file.
        classes: names of its classes in their order; None if the file does not say.
        file: its name, without folders.
    """

    origin: Origin
    state: State
    classes: tuple[str, ...] | None = None
    file: str = ""


def read(path: Path) -> Content:
    """The weights in a file by their names there, and whose file it is.

    Raises:
        WeightsError: missing, damaged, or not a file of weights.
    """
    content = checkpoint.read(path)
    if not isinstance(content, dict):
        raise _no_weights(path)
    ours = content.get("format") == checkpoint.FORMAT
    for key in ("detector",) if ours else ("state_dict", "model", "blobs"):
        if isinstance(content.get(key), Mapping):
            state = dict(content[key])
            break
    else:
        state = content
    if not ours:  # Caffe2 keeps its optimiser's state, and torchvision's references their epoch
        state = {name: x for name, x in state.items() if not str(name).endswith("_momentum")}
    if not _is_state(state):
        raise _no_weights(path)
    return of_state(state, path.name, "detbench" if ours else None, _classes(content))


def of_state(
    state: State,
    file: str = "",
    origin: Origin | None = None,
    classes: tuple[str, ...] | None = None,
) -> Content:
    """The kind of a state dict, recognised by its names."""
    if origin is None:
        origin = "other"
        if looks_like_mmdet(state):
            origin = "MMDetection"
        elif is_torchvision(state):
            origin = "torchvision"
        elif is_detectron2(state):
            origin = "detectron2"
    return Content(origin, state, classes, file)


def _no_weights(path: Path) -> WeightsError:
    return WeightsError(f"{path}: holds no tensors by name: not a file of weights")


def _is_state(state: Any) -> bool:
    return (
        isinstance(state, dict)
        and len(state) > 0
        and all(isinstance(name, str) for name in state)
        and all(isinstance(value, Tensor) for value in state.values())
    )


def _classes(content: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of the classes in a checkpoint of ours, or in MMDetection's meta data."""
    meta = content.get("meta")
    places: list[Any] = [content] if "format" in content else []
    if isinstance(meta, dict):
        places += [meta.get("dataset_meta"), meta]
    for place in places:
        for key in ("classes", "CLASSES"):
            names = place.get(key) if isinstance(place, dict) else None
            if isinstance(names, str):
                return (names,)
            if isinstance(names, list | tuple) and names and _are_text(names):
                return tuple(names)
    return None


def _are_text(names: Sequence[Any]) -> bool:
    return all(isinstance(name, str) for name in names)
