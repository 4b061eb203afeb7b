"""``torch.compile`` of a detector's convolutional parts, as a setting; off by default.

Backbone, neck and a dense detector's towers are compiled in place, each by itself: what follows
them (assignment, proposals, NMS) has shapes that depend on the data. Parameters, their names and
checkpoints stay as they are. The first passes take as long as compiling does, once for each part
and shape.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import torch
from torch import nn

from detbench.errors import DeviceError


def parts(detector: nn.Module) -> list[nn.Module]:
    """The modules that are compiled, each once; none of a detector that has none of them."""
    found = [getattr(detector, name, None) for name in ("backbone", "neck")]
    tasks = getattr(getattr(detector, "heads", None), "tasks", None)
    if tasks is not None:
        found += [tasks.cls, tasks.loc]
    return list(dict.fromkeys(one for one in found if isinstance(one, nn.Module)))


@contextlib.contextmanager
def compiled(detector: nn.Module, wanted: bool, device: torch.device) -> Iterator[None]:
    """Run what is inside with the detector compiled, if that is asked for, else as it is written;
    afterwards it is again as it was.

    Raises:
        DeviceError: there is no compiler for the device.
    """
    chosen = parts(detector)
    if chosen and wanted:
        check(device)
    # What ``Module.compile`` sets, and nothing takes back.
    before = [module._compiled_call_impl for module in chosen]
    for module in chosen:
        module._compiled_call_impl = None
        if wanted:
            module.compile()
    try:
        yield
    finally:
        for module, was in zip(chosen, before, strict=True):
            module._compiled_call_impl = was


def check(device: torch.device) -> None:
    """Look for what compiling needs before it is tried.

    Raises:
        DeviceError: it is not there.
    """
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise DeviceError(
                "compile: triton is not installed, which torch.compile needs on CUDA: install it, "
                "or leave training.compile and evaluation.compile off"
            )
        name, variable, what = "cc", "CC", "C"
    else:
        name, variable, what = ("clang++" if sys.platform == "darwin" else "g++"), "CXX", "C++"
    chosen = os.environ.get(variable) or name
    if shutil.which(chosen.split()[0]) is None:
        raise DeviceError(
            f"compile: no {what} compiler '{chosen}' is found, which torch.compile needs: install "
            f"one, name it in ${variable}, or leave training.compile and evaluation.compile off"
        )
