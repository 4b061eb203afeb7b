"""What a measurement ran on."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import torch
import torchvision

from detbench import __version__


def describe(device: torch.device) -> dict[str, str | int]:
    """Device, versions and threads, as plain values for a record of provenance."""
    found: dict[str, str | int] = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "detbench": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    if device.type == "cuda":
        found["cuda"] = str(torch.version.cuda)
        found["cudnn_tf32"] = torch.backends.cudnn.allow_tf32
        found["cudnn"] = str(torch.backends.cudnn.version())
    return found


def device_name(device: torch.device) -> str:
    """As in ``NVIDIA H200`` or ``AMD EPYC 9654``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()


@functools.cache
def cpu_name() -> str:
    """The processor's name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
