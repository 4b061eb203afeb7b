"""A cell's process whose training takes no torch and no time: everything else is the real thing.

Its "network" is a hash chain, so a lost or repeated step shows in the final value. What happens is
appended to ``$STUB_LEDGER``; ``$STUB_FAIL`` maps a seed to how that cell ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from detbench.errors import CellFailed, DataError, ProcessLost, RecipeError
from detbench.results.files import write_atomic
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import cell
from detbench.runner.job import CostItem, TrainJob
from detbench.runner.process import Event, Measured, Report

STEPS = int(os.environ.get("STUB_STEPS", "20"))
STEP_S = float(os.environ.get("STUB_STEP_S", "0"))


def note(words: str) -> None:
    handle = os.open(os.environ["STUB_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{words}\n".encode())
    os.close(handle)


def train(job: TrainJob, work: Path, report: Report) -> Measured:
    if Store(Path(job.store)).status(job.digest) == "done":
        note(f"twice {job.digest}")
    note(f"start {job.digest} {os.getpid()}")
    how = json.loads(os.environ.get("STUB_FAIL", "{}")).get(str(job.cell.seed), "")
    checkpoint = work / "checkpoint.pt"
    state = {"step": 0, "chain": job.digest}
    if checkpoint.exists():
        state = json.loads(checkpoint.read_text())
        note(f"resume {job.digest} {state['step']}")
    for step in range(int(state["step"]), STEPS):
        _misbehave(how, step)
        chain = hashlib.sha256(f"{state['chain']}{step}".encode()).hexdigest()
        state = {"step": step + 1, "chain": chain}
        time.sleep(STEP_S)
        try:
            report(_event(step + 1))
        except BaseException:
            write_atomic(checkpoint, json.dumps(state).encode())
            raise
        if step % 3 == 2:
            write_atomic(checkpoint, json.dumps(state).encode())
    note(f"finish {job.digest}")
    value = int(str(state["chain"])[:12], 16) / 2**48
    row = Measurement(
        job.digest, "train-eval", "AP", value, "fraction", {"images": 4}, job.cell.seed
    )
    return [row], [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": value}]


def _event(step: int) -> Event:
    return {"phase": "train", "iteration": step, "total": STEPS, "loss": 1.0, "eta_s": 0.1}


def _misbehave(how: str, step: int) -> None:
    if step != STEPS // 2:
        return
    if how == "nan":
        raise CellFailed(f"the loss is NaN at iteration {step}")
    if how == "bug":
        raise TypeError("unexpected thing")
    if how == "memory":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 GB")
    if how == "data":
        raise DataError("annotation file x.json is truncated: download it again")
    if how == "recipe":
        raise RecipeError("target 'a:B' cannot be imported")
    if how == "lost":
        raise ProcessLost("a process that loads data died (it was killed)")
    if how == "loader":  # as torch's signal handler does, in whatever runs
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    if how == "killed":
        os.kill(os.getpid(), 9)
    if how == "print":
        print("this is not JSON")
        os.system("echo nor is this")
    if how == "stuck":
        time.sleep(60)
    if how == "exit":
        os._exit(42)


def cost(item: CostItem, report: Report) -> Measured:
    note(f"start {item.digest} {os.getpid()}")
    if item.cell.input == (1, 1):
        raise RecipeError("target 'a:B' cannot be imported")
    note(f"finish {item.digest}")
    return [Measurement(item.digest, "cost", "gflops", 200.59, "GFLOPs", {"counter": "x"})], None


if __name__ == "__main__":
    sys.exit(cell.main(sys.argv[1:], train, cost))
