"""Everything that a GPU is asked, in one command that keeps to its time.

    python benchmarks/gpu.py                       # eight minutes of cuda
    python benchmarks/gpu.py --device cpu --small --minutes 3     # what can be tried without one
    python benchmarks/gpu.py --only detectors,speed --minutes 4

Prints its plan, then takes the steps in order: what is short and decides first, and the cells of
two tables for as long as the time lasts. Each step's result goes to ``<output>/gpu-<time>.json`` at
once, so that a run that is cut keeps what it has. A step that the time does not reach, or that
fails, stands there with the reason; nothing is left out silently. Exit code 1 where one fails.

    operations   deformable convolution, NMS, soft-NMS, RoIAlign, deformable pooling: as the CPU's
    detectors    forward, losses and detections of every detector, light, against the CPU (float32)
    precisions   losses of every detector in bf16 and fp16 against float32
    resume       a training that is stopped and goes on, against one that is not
    processes    a training of two processes on one device, by gloo, against one of one
    speed        R50 detectors at 1280x800 beside torchvision's: inference and training steps, fp32,
                 bf16, channels-last, torch.compile
    latency      rows of tscode-table1 by ``detbench latency``, into the store
    cells        cells of tscode-table1 and ddod-table4 under ``small``, side by side
    tests        all of tests/cuda, gradients and every option too; only if it is named
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gpu_checks
import speed
import torch
from timed import Late, Run, started, stop

from detbench.measure import machine
from detbench.measure.device import resolve

TABLES = ("tscode-table1", "ddod-table4")
SPARE_S = 20.0
"""Seconds that are left for ending what runs, and writing."""

COMPILED_TIMES = 2
"""How often the time of a comparison one is reckoned to take that compiles too."""


def timings(run: Run) -> dict[str, Any]:
    """R50 detectors beside torchvision's; one detector and mode after another."""
    width, height = (256, 160) if run.small else (1280, 800)
    batch, rounds = (1, 2) if run.small else (8, 10)
    known = ("fcos",) if run.small else ("fcos", "retinanet", "faster-rcnn")
    found: dict[str, Any] = {"records": [], "failed": {}, "not reached": [], "wrong": []}
    longest = 0.0
    asked = list(itertools.product((speed.SETTINGS, (*speed.SETTINGS[2:], speed.COMPILED)), known))
    for (settings, name), mode in itertools.product(asked, (speed.INFERENCE, speed.TRAINING)):
        what = f"{name} {mode}: {settings[-1].name}"
        # One comparison is never cut: none begins that the longest so far says has no time.
        if run.left < longest * (COMPILED_TIMES if speed.COMPILED in settings else 1):
            found["not reached"].append(what)
            continue
        began = time.monotonic()
        # A ratio to float32 needs it in the same rounds.
        settings = (speed.SETTINGS[0], *(one for one in settings if one != speed.SETTINGS[0]))
        rest = (batch, run.device, mode, rounds, False, None)
        try:
            found["records"] += speed.compare(speed.Plan(name, width, height, *rest, settings))
        except Exception as error:  # one setting may fail where others do not
            found["failed"][what] = f"{type(error).__name__}: {error}"[:500]
            found["wrong"].append(what)
        longest = max(longest, time.monotonic() - began)
        run.save()
    return found


def latency(run: Run) -> dict[str, Any]:
    """Rows of the first table, into the store, where ``report`` and ``analyze speed`` find them."""
    size = "256x160" if run.small else "1280x800"
    more = ("--input", size, "--iterations", "2" if run.small else "30")
    names = ("fcos-r50",) if run.small else (TABLES[0],)
    where = ("--device", str(run.device), "--results", str(run.results))
    said = run.command("latency", *names, *where, *more, "--format", "json")
    rows = [
        {"row": one["row"], "median_ms": one["steps"]["total"]["median_ms"]}
        for one in json.loads(said)
    ]
    return {"rows": rows, "wrong": []}


def cells(run: Run) -> dict[str, Any]:
    """Cells of both tables at once until the time is over; they can be gone on with."""
    how: tuple[str, ...] = ("--profile", "small", "--jobs", "2", "--gpus-per-cell", "0.25")
    if run.device.type != "cuda":
        how = ("--profile", "small", "--jobs", "1", "--threads", "1")
    if run.small:
        how = (*gpu_checks.LIGHT, "--set", "training.iterations=4", "--jobs", "1", "--threads", "1")
    more = ("--device", str(run.device), "--results", str(run.results), "--format", "json")
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(started("run", one, *how, *more)) for one in TABLES]
        while run.left > 0 and any(one.poll() is None for one in both):
            time.sleep(0.5)
        ended = {name: one.poll() for name, one in zip(TABLES, both, strict=True)}
        for one in both:
            stop(one)
        said = {name: one.communicate()[1][-500:] for name, one in zip(TABLES, both, strict=True)}
    failed = [name for name, code in ended.items() if code not in (0, None)]
    done = sorted(one.name for one in (run.results / "cells").glob("train-eval-*.parquet"))
    return {"cells": len(done), "unfinished": [n for n, c in ended.items() if c is None],
            "said": {name: said[name] for name in failed}, "wrong": failed}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step: what it is called, does, and about how many seconds it takes on a GPU."""

    name: str
    ask: Callable[[Run], dict[str, Any]]
    seconds: int


STEPS = (
    Step("operations", gpu_checks.operations, 5),
    Step("detectors", gpu_checks.detectors, 60),
    Step("precisions", gpu_checks.precisions, 40),
    Step("resume", gpu_checks.resume, 40),
    Step("processes", gpu_checks.processes, 45),
    Step("speed", timings, 150),
    Step("latency", latency, 45),
    Step("cells", cells, 120),
)
NAMED = (Step("tests", gpu_checks.tests, 240),)
"""Only taken if named in ``--only``."""


def take(run: Run, step: Step) -> str:
    """Take one step and keep what it gives; in a word how it ended."""
    began = time.monotonic()
    whole, limit = run.end, began + max(0.0, run.left)
    # Three times its own time or a third of what is left, whichever is more; the last takes all.
    if step is not STEPS[-1]:
        limit = min(limit, began + max(3.0 * step.seconds, run.left / 3))
    run.end = limit
    try:
        found = step.ask(run)
        status = "wrong" if found["wrong"] else "cut" if "reason" in found else "done"
    except Late:
        found, status = {"reason": "the time was over"}, "cut"
    except Exception as error:  # what fails is kept, and the next step is taken
        found = {"reason": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        status = "failed"
    finally:
        run.end = whole
    seconds = round(time.monotonic() - began, 1)
    run.kept["steps"][step.name] = {"status": status, "seconds": seconds, **found}
    run.save()
    return status


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--minutes", type=float, default=8.0, help="that all of it may take")
    parser.add_argument(
        "--only", default="", help="names of steps, by commas; by default all but tests"
    )
    parser.add_argument("--small", action="store_true", help="inputs and lengths for a CPU")
    here = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=here, help="folder of the JSON file")
    parser.add_argument("--results", type=Path, default=here / "gpu-store", help="store of cells")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    asked = parse(arguments)
    steps = (*NAMED, *STEPS)
    names = [one.name for one in steps]
    wanted = [one.strip() for one in asked.only.split(",") if one.strip()]
    wanted = wanted or [one.name for one in STEPS]
    if unknown := sorted(set(wanted) - set(names)):
        print(f"--only {','.join(unknown)}: there are {', '.join(names)}", file=sys.stderr)
        return 2
    device = resolve(asked.device)
    end = time.monotonic() + 60 * asked.minutes - SPARE_S
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    path = asked.output / f"gpu-{stamp}.json"
    run = Run(device, end, asked.small, asked.results.resolve(), path)
    chosen = [one for one in steps if one.name in wanted]
    run.kept |= {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(device),
        "minutes": asked.minutes,
        "small": asked.small,
        "plan": [one.name for one in chosen],
        "steps": {one.name: {"status": "not reached"} for one in chosen},
    }
    run.save()
    plan = ", ".join(f"{one.name} ({one.seconds} s)" for one in chosen)
    print(f"{asked.minutes:g} minutes of {device}: {plan}; into {path}", flush=True)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    statuses = []
    for step in chosen:
        status = "not reached" if run.left < 0 else take(run, step)
        statuses.append(status)
        print(f"{step.name}: {status} ({max(0.0, run.left):.0f} s left)", flush=True)
    return 1 if {"failed", "wrong"} & set(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
