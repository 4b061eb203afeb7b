"""The processors of this machine: how many may be used, how many are free, and how to wait on them.

No torch: what is said here has to be in the environment before OpenMP is loaded with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
LOOK_S = 0.3
"""For how long the load is looked at."""

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Threads that wait for each other sleep. By default they spin, GNU's (in PyTorch's wheels) and
Intel's or LLVM's alike, and take from whoever shares the processors the time he needs to finish
what they wait for. The first is read by all of them, the second by the latter two."""
WAITING_OF_USER = (*WAITING, "GOMP_SPINCOUNT")


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to an environment so that threads sleep while they wait; nothing where its owner
    has said how they do.
    """
    return {} if any(name in environment for name in WAITING_OF_USER) else dict(WAITING)


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have this process's threads do so; to be called before torch is imported."""
    environment.update(waiting(environment))


def usable() -> int:
    """Processors this process may use, by its affinity and its control group's quota."""
    count = len(_own())
    limit = min((quota for quota, _ in _groups()), default=None)
    return count if limit is None else max(1, min(count, int(limit)))


def free(look_s: float = LOOK_S) -> float:
    """How many of ``usable()`` are idle now, looked at for a moment."""
    before = [(quota, _read_number(usage)) for quota, usage in _groups()]
    loads = psutil.cpu_percent(look_s, percpu=True)
    own = _own()
    idle = sum(1 - loads[number] / 100 for number in own if number < len(loads))
    found = [idle if loads else float(len(own))]
    for (quota, start), (_, usage) in zip(before, _groups(), strict=False):
        end = _read_number(usage)
        if start is not None and end is not None:
            found.append(quota - (end - start) / look_s)
    return max(0.0, min(found))


def fitting(processes: int) -> tuple[int, str]:
    """Threads for each of so many processes at once, and a sentence if that is fewer than their
    share of the processors, because others are at work here.
    """
    count = usable()
    share = max(1, count // processes)
    if share == 1:
        return 1, ""
    idle = free()
    threads = max(1, min(share, round(idle) // processes))
    if threads == share:
        return share, ""
    return threads, (
        f"threads: {threads} for each process instead of {share}, as {max(0.0, count - idle):.1f} "
        f"of {count} processors are busy; --threads chooses"
    )


def _own() -> list[int]:
    """Numbers of the processors that this process's affinity allows."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _groups() -> Iterator[tuple[float, tuple[Path, float]]]:
    """Of each control group above this process that has a quota: processors, and the file of the
    time it has used with its unit in seconds.
    """
    for folder in _folders("", CGROUPS):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            yield int(quota) / int(period), (folder / "cpu.stat", 1e-6)
    for folder in _folders("cpu", CGROUPS / "cpu"):
        quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdecimal() and period.isdecimal() and int(quota) > 0:
            usage = CGROUPS / "cpuacct" / folder.relative_to(CGROUPS / "cpu") / "cpuacct.usage"
            yield int(quota) / int(period), (usage, 1e-9)


def _folders(controller: str, root: Path) -> list[Path]:
    """The group of this process and those above it, in the hierarchy of a controller; the unified
    one has no name.
    """
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            below = root / path.strip("/")
            return [one for one in (below, *below.parents) if one.is_relative_to(root)]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _read_number(file: tuple[Path, float]) -> float | None:
    """Seconds in a file: its only number, or that after ``usage_usec``."""
    path, unit = file
    words = _read(path).split()
    if "usage_usec" in words:
        words = words[words.index("usage_usec") + 1 :]
    return int(words[0]) * unit if words and words[0].isdecimal() else None
