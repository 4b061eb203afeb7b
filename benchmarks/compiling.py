"""What ``training.compile`` and ``evaluation.compile`` cost and gain in a light profile.

    python benchmarks/compiling.py                       # fcos-r50 under smoke
    python benchmarks/compiling.py --detectors atss-r50 --rounds 40 --busy

Of each detector there are two copies with the same weights, one with its backbone, neck and towers
compiled (``detbench.training.compiling``), which take turns on the same batches of the profile's
data: losses and their gradients, then detections. Times are medians; the first call of the compiled
copy, which compiles, stands apart, and what it takes more than a later call is divided by what a
later call gains. Losses, gradients and detections of both are compared. Set
``TORCHINDUCTOR_CACHE_DIR`` to an empty folder to see what compiling costs without torch's cache.

``--busy`` is for a machine that others use too: one thread, and CPU time, that of the compiler's
processes included. Prints a markdown table and writes the raw samples to ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

import options
import torch
from torch import Tensor

from detbench import data
from detbench.assembly import build_detector
from detbench.data.loading import EvalLoader, TrainLoader
from detbench.measure.timing import Timing, interleaved, now_ms
from detbench.recipe import resolve
from detbench.structures import Batch
from detbench.training import compiling
from detbench.training.precision import memory_format
from detbench.training.seeding import seed_everything

BATCHES = 4
WHAT = ("training step", "inference")
HEAD = """\
| detector | | eager, ms | compiled, ms | faster | first, s | worth it after calls | agreement |
|:--|:--|--:|--:|--:|--:|--:|:--|"""
SMALL = ("data.train=64", "data.val=64", "inference.score_threshold=0.0")


@dataclass(frozen=True)
class Pair:
    """A detector as it is written and compiled, and what both are given."""

    plain: Any
    compiled: Any
    training: list[Batch]
    testing: list[Batch]
    device: torch.device


def pair(name: str, profile: str, batch: int, device: torch.device) -> Pair:
    cell = resolve.cell(name, profile, 0, (*SMALL, f"training.batch={batch}")).cell
    assert cell is not None
    root = Path()
    train, val = (data.load(cell.data, split, root) for split in ("train", "val"))
    seed_everything(0)
    plain = build_detector(cell.detector, data.class_names(train))
    plain.to(device, memory_format=memory_format(cell.training.channels_last))
    compiled = copy.deepcopy(plain)
    settings, pixels = cell.training, cell.detector.pixels
    batches = TrainLoader(train, settings.input, pixels, settings.batch, 0).batches(0)
    testing = EvalLoader(val, settings.input, pixels, cell.evaluation.batch)
    taken = [list(itertools.islice(one, BATCHES)) for one in (batches, iter(testing))]
    return Pair(plain, compiled, *taken, device)


def step(detector: Any, batch: Batch, device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
    """Losses, and all gradients in one vector."""
    detector.train()
    detector.zero_grad()
    images = batch.images.to(device, memory_format=torch.channels_last)
    losses = detector.losses(images, batch.targets.to(device))
    torch.stack(list(losses.values())).sum().backward()
    found = [x.grad.flatten() for x in detector.parameters() if x.grad is not None]
    return {name: x.detach() for name, x in losses.items()}, torch.cat(found)


@torch.inference_mode()
def detect(detector: Any, batch: Batch, device: torch.device) -> Any:
    detector.eval()
    images = batch.images.to(device, memory_format=torch.channels_last)
    return detector.detect(images, batch.sizes.to(device))


def of_losses(first: Any, second: Any) -> str:
    """How far two steps are apart."""
    apart = max(float((x - second[0][name]).abs() / x.abs()) for name, x in first[0].items())
    gradient = float((first[1] - second[1]).norm() / first[1].norm())
    return f"losses {apart:.0e}, gradients {gradient:.0e} of their norm"


def of_detections(first: Any, second: Any) -> str:
    """How many detections have one of the same class, place and score in the other."""
    alike = total = 0
    for one, other in zip(first, second, strict=True):
        total += len(one)
        if not len(one) or not len(other):
            continue
        near = (one.boxes[:, None] - other.boxes[None]).abs().amax(dim=2) <= 0.01
        near &= (one.scores[:, None] - other.scores[None]).abs() <= 1e-4
        near &= one.labels[:, None] == other.labels[None]
        alike += int(near.any(dim=1).sum())
    return f"{alike} of {total} detections within 0.01 px and 1e-4"


def measure(
    made: Pair, what: str, rounds: int, clock: Callable[[], float] | None
) -> dict[str, Any]:
    if what == "training step":
        call, agree, batches = step, of_losses, made.training
    else:
        call, agree, batches = detect, of_detections, made.testing
    device = made.device
    first = call(made.plain, batches[0], device)
    with compiling.compiled(made.compiled, True, device):
        began = now_ms(device, clock)
        second = call(made.compiled, batches[0], device)
        compiled_ms = now_ms(device, clock) - began
        turns = [itertools.cycle(batches) for _ in range(2)]
        calls = {
            "eager": lambda: call(made.plain, next(turns[0]), device),
            "compiled": lambda: call(made.compiled, next(turns[1]), device),
        }
        found = interleaved(calls, device, BATCHES, rounds, clock)
    return {"first_ms": compiled_ms, "agree": agree(first, second), **found}


def row(name: str, what: str, found: dict[str, Any]) -> str:
    eager, compiled = found["eager"].median_ms, found["compiled"].median_ms
    gain = eager - compiled
    worth = f"{(found['first_ms'] - compiled) / gain:.0f}" if gain > 0 else "never"
    cells = (name, what, f"{eager:.0f}", f"{compiled:.0f}", f"{eager / compiled:.2f}")
    more = (f"{found['first_ms'] / 1e3:.0f}", worth, found["agree"])
    return f"| {' | '.join((*cells, *more))} |"


def busy_clock() -> float:
    """CPU seconds of this process and of those that it has ended."""
    spent = (getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__ or "", "that count", batch=8)
    parser.add_argument("--detectors", nargs="+", default=["fcos-r50"])
    parser.add_argument("--profile", default="smoke")
    parser.set_defaults(rounds=40)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    device, clock = options.start(asked)
    kept: dict[str, Any] = {}
    print(HEAD)
    for name in asked.detectors:
        made = pair(name, asked.profile, asked.batch, device)
        for what in WHAT:
            found = measure(made, what, asked.rounds, busy_clock if clock else None)
            print(row(name, what, found), flush=True)
            kept[f"{name} {what}"] = {
                key: one.summary() if isinstance(one, Timing) else one for key, one in found.items()
            }
    options.write(asked, "compiling", {"found": kept})


if __name__ == "__main__":
    main()
