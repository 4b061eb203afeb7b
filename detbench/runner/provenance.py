"""Where a number comes from: code, versions, machine."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import detbench

if TYPE_CHECKING:
    import torch


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, git commit, device, driver and threads, as plain values."""
    from detbench.measure import machine

    found: dict[str, Any] = {**machine.describe(device), "git": git_commit()}
    if device.type == "cuda":
        found["driver"] = driver()
    return found


@functools.cache
def git_commit() -> str | None:
    """Commit of a checkout that detbench runs from, with ``+`` if it has changes; else none."""
    root = Path(detbench.__file__).resolve().parent.parent
    # Installed into somebody else's repository, git would answer with that one's commit.
    if not (root / ".git").exists():
        return None
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(root), "status", "--porcelain", "-uno", "--", "detbench")
    return f"{commit}+" if commit and changes else commit


@functools.cache
def driver() -> str | None:
    """Version of the NVIDIA driver; none where nvidia-smi does not tell."""
    text = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return text.splitlines()[0] if text else None


def _output(program: str, *arguments: str) -> str | None:
    if shutil.which(program) is None:
        return None
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else None
