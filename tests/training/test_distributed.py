"""Several gloo processes on the CPU train as one process does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from team import SMALL

from detbench.training import checkpoint, curve, loop

SCRIPT = str(Path(__file__).with_name("team.py"))


def start(world: int, *arguments: str, **extra: str) -> list[subprocess.Popen[str]]:
    """Processes as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **extra}
    if world > 1:
        common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
        common |= {"LOCAL_WORLD_SIZE": str(world)}
    command = [sys.executable, SCRIPT, *arguments]
    return [
        subprocess.Popen(
            command,
            env=common | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if world > 1 else {}),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    said = [process.communicate(timeout=120)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def run(work: Path, world: int, *arguments: str, code: int = 0, **extra: str) -> None:
    ended = finish(start(world, str(work), *arguments, **extra))
    assert [one for one, _ in ended] == [code] * world, "\n".join(text for _, text in ended)


def lines(work: Path) -> list[dict[str, Any]]:
    return list(curve.read(work / loop.CURVE))


def assert_close(one: Path, other: Path, tolerance: float = 1e-5) -> None:
    """Loss curves, line by line and loss by loss."""
    assert len(lines(one)) == 5
    for a, b in zip(lines(one), lines(other), strict=True):
        assert a == pytest.approx(b, rel=tolerance, abs=1e-6)
