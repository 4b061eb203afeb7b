"""Checkpoints: tensors and plain types only, written whole, loaded without running code."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from detbench.errors import WeightsError
from detbench.results.files import writing

FORMAT = "detbench-checkpoint"
VERSION = 1


class _Dropped:
    """Takes the place of an object that is read over and not wanted."""

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


LOGS: list[Any] = [
    (_Dropped, name)
    for name in (
        "mmengine.logging.history_buffer.HistoryBuffer",
        *(
            f"numpy.{core}.multiarray.{name}"
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
        "numpy.ndarray",
        "numpy.dtype",
        *(f"{builtins}.getattr" for builtins in ("builtins", "__builtin__")),
    )
]
"""Objects of the training log that MMEngine keeps beside the weights of its own checkpoints, under
the names in the file. None of their code runs, and everything else that is no tensor is refused."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``: synced, then renamed into place, so never half a file.

    Args:
        content: tensors and plain types, nested in dicts, lists and tuples.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                _save(content | {"format": FORMAT, "version": VERSION}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _save(content: dict[str, Any], file: Any) -> None:
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # torch's writer turns a full disk into an error of its own about positions in the file.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote, to the CPU.

    Raises:
        WeightsError: missing, truncated, or not a checkpoint of detbench.
    """
    content = read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsError(f"{path}: not a detbench checkpoint")
    if content.get("version") != VERSION:
        raise WeightsError(
            f"{path}: a checkpoint of version {content.get('version')}, this detbench reads "
            f"{VERSION}"
        )
    return content


def read(path: Path) -> Any:
    """Read any file of ``torch.save`` or safetensors that holds only tensors and plain types.

    Raises:
        WeightsError: missing, truncated, another kind of file, or one that would run code.
    """
    try:
        with open(path, "rb"):
            pass  # what the system says of a missing or locked file is clearer than torch's error
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(LOGS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
            raise WeightsError(
                f"{path}: holds Python objects, which could run code, and is not loaded: "
                "save its state_dict alone"
            ) from error
        raise WeightsError(f"{path}: truncated, or not a file of weights") from error
    if isinstance(content, dict) and content.get("format") == FORMAT:
        _check_sums(path)
    return content


def _check_sums(path: Path) -> None:
    """Compare the checksums in a file of ours, which ``torch.load`` does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # as many kinds as there are damages
        raise WeightsError(f"{path}: damaged: {type(error).__name__}") from error
    if damaged is not None:
        raise WeightsError(f"{path}: damaged: the checksum of {damaged} is wrong")
