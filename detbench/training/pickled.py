"""Pickled weights, as detectron2's ``.pkl``: arrays by name, read without running any code.

A pickle names functions to call. Here the few that make an array of numbers are known by their
names and replaced by our own; every other name is refused before anything of it is imported.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detbench import inputs
from detbench.errors import WeightsError


class Forbidden(pickle.UnpicklingError):
    """The file names something other than arrays of numbers."""


class _Array(np.ndarray):
    """An array that is being read; it gets its content by ``__setstate__``, as pickle has it."""

    def __setstate__(self, state: Any) -> None:
        *_, kind, _fortran, _content = state
        if not isinstance(kind, np.dtype) or kind.hasobject:
            raise Forbidden("an array of objects")
        super().__setstate__(state)


def _array(*_: Any) -> np.ndarray:
    return _Array.__new__(_Array, (0,), "b")


def _scalar(kind: np.dtype, content: bytes = b"") -> Any:
    if not isinstance(kind, np.dtype) or kind.hasobject:
        raise Forbidden("a number that is an object")
    return np.frombuffer(content, kind, 1)[0]


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise Forbidden(f"text in {encoding}")
    return text.encode("latin1")


def _empty(*given: Any) -> bytes:
    if given:
        raise Forbidden("bytes that are computed")
    return b""


def _dtype(kind: str, *_: Any) -> np.dtype:
    if not isinstance(kind, str):
        raise Forbidden("a type of numbers that is not named")
    return np.dtype(kind, copy=True)  # which the file may then change


def _of_buffer(content: Any, kind: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if not isinstance(kind, np.dtype) or kind.hasobject:
        raise Forbidden("an array of objects")
    return np.frombuffer(content, kind).reshape(shape, order="F" if order == "F" else "C")


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _empty,
    ("collections", "OrderedDict"): OrderedDict,
    **{
        (f"numpy.{core}.multiarray", name): make
        for core in ("core", "_core")
        for name, make in (("_reconstruct", _array), ("scalar", _scalar))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _of_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return KNOWN[module, name]
        except KeyError:
            raise Forbidden(f"{module}.{name}") from None


def read(path: Path) -> Any:
    """What a pickle of arrays and plain types holds, its arrays as tensors.

    Text of Python 2 is read as Latin-1, as Caffe2's files have it.

    Raises:
        WeightsError: truncated, no pickle, or one that names anything else.
    """
    try:
        with inputs.opened(path) as file:
            return _tensors(_Reader(file, encoding="latin1").load())
    except Forbidden as error:
        raise WeightsError(
            f"{path}: holds Python objects ({error}), which could run code, and is not loaded: "
            "save its arrays alone"
        ) from error
    except Exception as error:  # as many kinds as there are damages
        raise WeightsError(f"{path}: truncated, or not a file of weights") from error


def _tensors(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _tensors(value) for name, value in content.items()}
    if isinstance(content, np.ndarray | np.number):
        native = content.dtype.newbyteorder("=")
        return torch.from_numpy(np.array(content, native, subok=False))
    return content
