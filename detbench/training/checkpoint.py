"""Checkpoints: tensors and plain types only, written whole, loaded without running code."""

from __future__ import annotations

import logging
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from detbench import inputs, temporary
from detbench.errors import WeightsError
from detbench.results.files import writing
from detbench.training import pickled

FORMAT = "detbench-checkpoint"
VERSION = 1
PICKLED = (".pkl", ".pickle")

logger = logging.getLogger(__name__)


class Damaged(WeightsError):
    """A file that is not as it was written, or never was a checkpoint."""


class _Dropped:
    """Stands for an object in the file that is skipped."""

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


def save(path: Path, content: dict[str, Any], keep: bool = False) -> None:
    """Write ``content`` to ``path``: synced, then renamed into place, so never half a file.

    Args:
        content: tensors and plain types, nested in dicts, lists and tuples.
        keep: keep the file that was there as ``previous(path)``, for ``recover``; else delete both.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = temporary.beside(path)
        try:
            with open(aside, "wb") as file:
                _save(content | {"format": FORMAT, "version": VERSION}, file)
                file.flush()
                os.fsync(file.fileno())
            if keep and path.exists():
                os.replace(path, previous(path))
            os.replace(aside, path)
            if not keep:
                previous(path).unlink(missing_ok=True)
        finally:
            aside.unlink(missing_ok=True)
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


def previous(path: Path) -> Path:
    """Where the checkpoint before that at ``path`` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def recover(path: Path) -> dict[str, Any] | None:
    """The checkpoint at ``path``, the one before it if that is damaged, or None.

    Damaged ones are renamed out of the way, with a line to the log.

    Raises:
        WeightsError: it is whole, but cannot be read, or was made by another version.
    """
    for place in (path, previous(path)):
        content = sound(place)
        if content is not None:
            return content
    return None


def sound(path: Path) -> dict[str, Any] | None:
    """What ``load`` reads; None if there is no file, or a damaged one, which is then renamed."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    try:
        return load(path)
    except Damaged as error:
        logger.warning("%s; renamed to %s, and what it held is made again", error, aside.name)
    with writing(path):
        os.replace(path, aside)
    return None


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote, to the CPU.

    Raises:
        Damaged: truncated, or not a checkpoint of detbench.
        WeightsError: missing, or of another version.
    """
    content = read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Damaged(f"{path}: not a detbench checkpoint")
    if content.get("version") != VERSION:
        raise WeightsError(
            f"{path}: a checkpoint of version {content.get('version')}, this detbench reads "
            f"{VERSION}"
        )
    return content


def read(path: Path) -> Any:
    """Read any file of ``torch.save``, safetensors or pickled arrays (``.pkl``) that holds only
    tensors and plain types.

    Raises:
        WeightsError: missing, truncated, another kind of file, or one that would run code.
    """
    try:
        with inputs.opened(path):
            pass  # what the system says of a missing or locked file is clearer than torch's error
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if path.suffix in PICKLED and not zipfile.is_zipfile(path):
        return pickled.read(path)
    _check_size(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(LOGS):
            content = torch.load(path, map_location="cpu", weights_only=True)
        swollen = any(map(_is_swollen, tensors(content)))
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
            raise Damaged(
                f"{path}: holds Python objects, which could run code, and is not loaded: "
                "save its state_dict alone"
            ) from error
        raise Damaged(f"{path}: truncated, or not a file of weights") from error
    if isinstance(content, dict) and content.get("format") == FORMAT:
        _check_sums(path)
    if swollen:
        raise Damaged(f"{path}: a tensor in it is larger than what the file holds of it")
    return content


def tensors(content: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested dicts, lists and tuples."""
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        for one in content.values() if isinstance(content, dict) else content:
            yield from tensors(one)


def _is_swollen(one: torch.Tensor) -> bool:
    """Whether a tensor repeats what is stored of it, and would grow when it is copied."""
    return one.numel() * one.element_size() > one.untyped_storage().nbytes()


def _check_size(path: Path) -> None:
    """Refuse an archive that fills the memory when it is unpacked; torch packs none of its own."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(one.file_size for one in archive.infolist())
    except Exception as error:  # as many kinds as there are damages
        raise Damaged(f"{path}: truncated, or not a file of weights") from error
    try:
        inputs.check_bound(size, path.stat().st_size)
    except inputs.TooLarge as error:
        raise Damaged(f"{path}: {error}") from error


def _check_sums(path: Path) -> None:
    """Compare the checksums in a file of ours, which ``torch.load`` does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # as many kinds as there are damages
        raise Damaged(f"{path}: damaged: {type(error).__name__}") from error
    if damaged is not None:
        raise Damaged(f"{path}: damaged: the checksum of {damaged} is wrong")
