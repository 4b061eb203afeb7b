"""What PyTorch can do on this machine: ``python -m detbench.measure.probe`` prints it as JSON.

A process of its own, as a broken installation can end it, and a driver can hang.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from detbench import children

PATIENCE_S = 180.0


def probe() -> dict[str, Any]:
    """Ask such a process.

    Returns:
        ``error``, a sentence, if it could not answer; else ``torch``, ``torchvision``, ``threads``,
        ``cuda`` (the version PyTorch was built for, or none), ``devices``: of each its ``name``,
        ``memory`` in bytes and ``error``, empty if it computes; and ``ops``, why torchvision's
        operators do not work, empty if they do.
    """
    command = children.command("detbench.measure.probe")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return {"error": f"PyTorch did not start within {PATIENCE_S:.0f} s"}
    except OSError as error:
        return {"error": f"{sys.executable} cannot be started: {error.strerror}"}
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"error": f"PyTorch does not start: {last}"}
    return found


def _answer() -> dict[str, Any]:
    import torch
    import torchvision

    devices: list[dict[str, Any]] = [{"name": "cpu", "memory": None, "error": _computes("cpu")}]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "name": f"cuda:{index} {properties.name}",
                "memory": properties.total_memory,
                "error": _computes(f"cuda:{index}"),
            }
        )
    return {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": devices,
        "ops": _operators(),
    }


def _computes(device: str) -> str:
    """Why a device does not compute a convolution; empty if it does."""
    import torch

    try:
        layer = torch.nn.Conv2d(2, 3, 3).to(device)
        layer(torch.ones(1, 2, 8, 8, device=device)).sum().backward()
        return ""
    except Exception as error:  # whatever a driver or a build raises is what is to be reported
        return _first_line(error)


def _operators() -> str:
    """Why torchvision's compiled operators do not work; empty if they do."""
    import torch

    try:
        from torchvision.ops import nms

        boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0]])
        kept = nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist()
        return "" if kept == [1] else f"NMS keeps {kept} where it should keep [1]"
    except Exception as error:  # as above
        return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    print(json.dumps(_answer()))
