"""Names of files that are being written, from which anyone can tell whether their writer lives.

A process number alone says nothing about a folder that containers or machines share, nor once it
is given to another process.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil

from detbench import inputs

ENDING = ".tmp"
DEAD_S = 86400.0
"""A file of another host that nobody has written to for so long was left behind."""

_NAME = re.compile(r"\..*\.([^.]+)\.(\d+)\.(\d+)\.tmp")
_FORMER = re.compile(r"\..*\.(\d+)\.tmp")


def beside(path: Path) -> Path:
    """Where to write what will be ``path``; what dead writers of it left beside it goes."""
    for leftover in path.parent.glob(f".{path.name}.*{ENDING}"):
        if orphaned(leftover):
            leftover.unlink(missing_ok=True)
    return named(path)


def named(path: Path) -> Path:
    """As ``beside``; nothing is removed.

    Raises:
        OSError: what is at ``path`` would not be a file afterwards (``inputs.check_target``).
    """
    inputs.check_target(path)
    pid = os.getpid()
    return path.with_name(f".{path.name}.{_host()}.{pid}.{_start(pid)}{ENDING}")


def orphaned(path: Path) -> bool:
    """Whether the process that wrote a temporary file or folder, as its name tells, is gone."""
    if found := _NAME.fullmatch(path.name):
        host, pid, start = found.groups()
        if host == _host():
            return _start(int(pid)) != start
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime > DEAD_S
        return False
    former = _FORMER.fullmatch(path.name)  # of before names told more
    return former is None or not psutil.pid_exists(int(former[1]))


@functools.cache
def _host() -> str:
    """What has these process numbers: a boot of a machine, and a container on it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    name = re.sub(r"[^A-Za-z0-9-]+", "-", platform.node())[:32]
    return f"{name}-{hashlib.sha256(''.join(parts).encode()).hexdigest()[:8]}"


def _start(pid: int) -> str:
    """When a process started, in the system's own count, which no clock moves; empty if it is
    gone.
    """
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    with suppress(psutil.Error):
        return str(int(psutil.Process(pid).create_time()))
    return ""
