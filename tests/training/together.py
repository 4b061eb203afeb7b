"""Several processes of ``team`` at once, and whether what they left is the same."""

from __future__ import annotations

import json
import socket
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import team
from forked import FORKS

from detbench.training import curve, loop

LIVE = (
    "training.weights=none",
    "detector.backbone.norm=batch",
    "detector.backbone.frozen_stages=0",
    "training.optimizer.lr=2e-3",
)
STEADY = ('training.optimizer={kind="sgd",lr=0.01}', "training.schedule.rise=0")
"""AdamW, whose first steps are signs of gradients, turns rounding into per cents within iterations
where a gradient is next to nothing, in one process as well (try ``training.channels_last=false``).
"""


def start(folder: Path, world: int, **job: Any) -> list[ForkServerProcess]:
    """Processes as torchrun would start them; what each says is in a file of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    common |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    processes = []
    for rank in range(world):
        environment = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        said = folder / f"said-{rank}"
        processes.append(FORKS.Process(target=team.main, args=(job, environment, said)))
        processes[-1].start()
    return processes


def finish(processes: list[ForkServerProcess], folder: Path) -> tuple[list[int | None], str]:
    """Exit codes, and what all said."""
    try:
        for process in processes:
            process.join(240)
            assert process.exitcode is not None, "it hangs"
    finally:
        for process in processes:
            process.kill()
            process.join()
    said = [(folder / f"said-{rank}").read_text() for rank in range(len(processes))]
    return [process.exitcode for process in processes], "".join(said)


def together(folder: Path, world: int, **job: Any) -> None:
    codes, said = finish(start(folder, world, **job), folder)
    assert codes == [0] * world, said


def assert_close(one: Path, other: Path, iterations: int = 4, tolerance: float = 1e-5) -> None:
    """Loss curves, line by line and loss by loss, and detections."""
    ours, theirs = (list(curve.read(work / loop.CURVE)) for work in (one, other))
    assert len(ours) == len(theirs) == iterations
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=tolerance, abs=1e-6)
    (_, a, images), (_, b, others) = (
        json.loads((work / "result.json").read_text()) for work in (one, other)
    )
    assert images == others == 5
    assert [x["image_id"] for x in a] == [x["image_id"] for x in b]
    assert [x["score"] for x in a] == pytest.approx([x["score"] for x in b], rel=1e-3)
