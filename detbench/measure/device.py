"""The device a run asks for, if this machine has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from detbench.errors import DeviceError

if TYPE_CHECKING:
    import torch


def resolve(device: str) -> torch.device:
    """The torch device called ``device``.

    Args:
        device: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: no such device here, or no such name.
    """
    import torch

    match = re.fullmatch(r"(auto|cpu|cuda)(?::(\d+))?", device)
    if match is None or (match[2] is not None and match[1] != "cuda"):
        raise DeviceError(f"device '{device}' is unknown: use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda" if count else "cpu")
    if match[1] == "cpu":
        return torch.device("cpu")
    if not count:
        raise DeviceError(
            f"device '{device}' was asked for and this machine has no usable CUDA device: "
            "use --device cpu, or look at the driver with nvidia-smi"
        )
    if match[2] is not None and int(match[2]) >= count:
        raise DeviceError(
            f"device '{device}' does not exist: this machine has cuda:0 to cuda:{count - 1}"
        )
    return torch.device(device)
