"""Runs a script of these tests as root of a namespace of its own, where it may mount."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


@functools.cache
def why_not() -> str:
    """Why nothing can be mounted on this machine; empty if it can."""
    if shutil.which("unshare") is None:
        return "there is no unshare here"
    done = subprocess.run(
        ["unshare", "-Ur", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"mounting is not permitted: {done.stderr.strip()}"


def run(script: str, *arguments: str) -> str:
    """Its stdout; fails with its stderr."""
    done = subprocess.run(
        ["unshare", "-Ur", "-m", sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "runner")},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
