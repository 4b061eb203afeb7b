"""What a device says of itself while it is measured: clocks, power cap, temperature, throttling.

What neither driver nor system tells is left out: nothing here is assumed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

FIELDS = {
    "sm_clock_mhz": "clocks.sm",
    "memory_clock_mhz": "clocks.mem",
    "power_w": "power.draw",
    "power_cap_w": "power.limit",
    "temperature_c": "temperature.gpu",
    "utilisation_percent": "utilization.gpu",
    "throttle": "clocks_throttle_reasons.active",
}
"""What is asked of NVIDIA's driver, by nvidia-smi's names."""
THROTTLES = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clocks",
}
"""Bits of nvidia-smi's reasons."""
CPUINFO = Path("/proc/cpuinfo")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def now(device: torch.device) -> dict[str, Any]:
    """What is known at this moment, as plain values; ``throttle`` is a list of reasons."""
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 2)}
    if device.type == "cuda":
        return found | _of_gpu(device, FIELDS)
    clocks = [float(one) for one in re.findall(r"cpu MHz\s*: ([\d.]+)", _text(CPUINFO))]
    if clocks:
        found["cpu_clock_mhz"] = round(sum(clocks) / len(clocks), 1)
    if governor := _text(GOVERNOR).strip():
        found["governor"] = governor
    return found


def driver(device: torch.device) -> str | None:
    """Version of a GPU's driver; none of a CPU, or where nvidia-smi does not tell."""
    if device.type != "cuda":
        return None
    found = _of_gpu(device, {"driver": "driver_version"})
    return str(found["driver"]) if found else None


def _of_gpu(device: torch.device, fields: dict[str, str]) -> dict[str, Any]:
    """What nvidia-smi says of a GPU, by our names; of a field that it does not know nothing."""
    whole = _asked(device, fields.values())
    if whole is not None:
        pairs = list(zip(fields, whole, strict=True))
    else:
        single = [(name, _asked(device, [field])) for name, field in fields.items()]
        pairs = [(name, texts[0]) for name, texts in single if texts]
    return {name: value for name, text in pairs if (value := _value(name, text)) is not None}


def _asked(device: torch.device, fields: Iterable[str]) -> list[str] | None:
    """The answers, one for each field; none where nvidia-smi is not there or refuses."""
    fields = list(fields)
    if shutil.which("nvidia-smi") is None:
        return None
    which = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    # Numbers of nvidia-smi are not torch's where CUDA_VISIBLE_DEVICES hides some.
    chosen = ["-i", f"GPU-{which}"] if which else ["-i", str(device.index or 0)]
    words = ["nvidia-smi", *chosen, f"--query-gpu={','.join(fields)}"]
    words.append("--format=csv,noheader,nounits")
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = [one.strip() for one in done.stdout.strip().split(",")]
    return found if done.returncode == 0 and len(found) == len(fields) else None


def _value(name: str, text: str) -> Any:
    """An answer as a plain value; none where the driver does not tell, as in ``[N/A]``."""
    if not text or text.startswith("["):
        return None
    if name == "throttle":
        try:
            bits = int(text, 16)
        except ValueError:
            return None
        return [reason for bit, reason in THROTTLES.items() if bits & bit]
    try:
        return text if name == "driver" else float(text)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
