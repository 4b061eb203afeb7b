"""What assignment costs: time, memory, and its share of a training step, on this machine.

    python benchmarks/assigners.py                                    # an hour on 2 cores
    python benchmarks/assigners.py --detectors ota defcn --steps ota --rounds 3 --step-rounds 1
    python benchmarks/assigners.py --device cuda --batch 8 --rounds 20

Each detector's assigners, those of auxiliary supervisions too, get outputs of 1280x800 (21,330
places at one candidate each) and as many objects an image as ``--objects`` says, of 8 to 600
pixels. Peak memory is what an assignment adds to what it is given: on a GPU that of the allocator,
on the CPU the process's resident set (Linux). A training step is the whole detector's with
ResNet-50, 20 objects an image, beside torchvision's FCOS in the same run (``speed.py``). The
match of ``one-to-one`` is also solved by scipy on all pairs, which the assigner avoids. TOOD is
past its first epochs. AutoAssign and DW choose nothing: what they weigh is in their criterion.

All take turns in every round. Times are medians. ``--busy`` is for a machine that others use too:
one thread, and CPU time in place of the wall's. Prints a markdown table and writes the raw samples
to ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import options
import speed
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector
from detbench.measure.timing import Timing, interleaved, synchronize
from detbench.ops.matching import OUTSIDE
from detbench.recipe import load
from detbench.stages.assignment.center_sampling import in_center
from detbench.stages.assignment.one_to_one import OneToOneAssigner
from detbench.stages.outputs import Outputs
from detbench.stages.predictor import Predictions
from detbench.structures import Targets

WIDTH, HEIGHT = 1280, 800
STEP_OBJECTS = 20
EPOCH = 6.0
DETECTORS = ["retinanet", "fcos", "atss", "paa", "ddod", "tood", "ota", "defcn", "autoassign", "dw"]
FULL = "scipy, all pairs"
MEBIBYTE = 2**20
M_MMAP_THRESHOLD = -3


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    batch: int
    device: torch.device
    rounds: int
    step_warmup: int
    step_rounds: int
    clock: Callable[[], float] | None


def outputs(detector: DenseDetector, batch: int, device: torch.device) -> Outputs:
    """Of 1280x800, as a detector half trained may give them; strangers to no object."""
    random = torch.Generator().manual_seed(0)

    def maps(channels: int, scale: float, bias: float) -> list[Tensor]:
        found = []
        for level in range(5):
            stride = 2 ** (detector.first_level + level)
            size = (batch, channels, -(-HEIGHT // stride), -(-WIDTH // stride))
            found.append((bias + scale * torch.randn(size, generator=random)).to(device))
        return found

    cells = detector.grid.per_cell
    distances = detector.code.dims == 4 and cells == 1
    extras = {name: maps(cells, 1.0, 0.0) for name in ("quality", "filter")}
    code = maps(cells * detector.code.dims, 0.5, 3.0 if distances else 0.0)
    return detector.outputs(Predictions(maps(cells * 80, 1.0, -4.0), code, extras)).detached


def objects(count: int, batch: int, device: torch.device) -> Targets:
    """As many of each image, of 8 to 600 pixels a side."""
    random = torch.Generator().manual_seed(count)
    boxes, labels = [], []
    for _ in range(batch):
        sides = 8 * 75 ** torch.rand(count, 2, generator=random)
        low = (torch.tensor([WIDTH, HEIGHT]) - sides) * torch.rand(count, 2, generator=random)
        boxes.append(torch.cat((low, low + sides), dim=1))
        labels.append(torch.randint(0, 80, (count,), generator=random))
    return Targets.pad(boxes, labels).to(device)


def assignment(detector: DenseDetector, given: Outputs, targets: Targets) -> Callable[[], object]:
    """All of a detector's assignments; what is read of the outputs is made in each call."""

    def call() -> object:
        with torch.no_grad():
            fresh = given.detached  # boxes and scores are remembered by the first that reads them
            return [
                one.assigners.tasks.map(lambda assign: assign(fresh, targets, EPOCH))
                for one in detector.supervisions
            ]

    return call


def all_pairs(assigner: OneToOneAssigner, given: Outputs, targets: Targets) -> Callable[[], object]:
    """scipy's solver on the whole (objects, places) matrix of each image."""
    count = len(given.candidates.points)
    places = torch.arange(count, device=targets.boxes.device).expand(*targets.valid.shape, -1)
    points, strides = given.candidates.points, given.candidates.strides
    inside = in_center(points, strides, targets.boxes[:, :, None], assigner.radius)
    quality = assigner._quality(given, targets, places).masked_fill(~inside, OUTSIDE)

    def call() -> object:
        return [linear_sum_assignment(image, maximize=True) for image in quality.cpu().numpy()]

    return call


def resident(what: str) -> int:
    """Bytes of this process, now (``VmRSS``) or at most since it was last asked (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


def peak(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call adds at most."""
    synchronize(device)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    memory = ctypes.CDLL(None)
    memory.mallopt(M_MMAP_THRESHOLD, 2**16)  # what is freed is no longer resident,
    memory.malloc_trim(0)  # nor what was freed before
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


@cache
def made(name: str, batch: int, device: torch.device) -> tuple[Any, Outputs]:
    """A detector and outputs of it."""
    detector: Any = build_detector(load.detector(f"{name}-r50").detector, 80).to(device)
    return detector, outputs(detector, batch, device)


class Case:
    """A detector's assigners, with outputs and objects.

    Args:
        name: of the detector, without its backbone.
        count: of objects an image.
    """

    def __init__(self, name: str, count: int, plan: Plan) -> None:
        self.name, self.count, self.plan = name, count, plan
        detector, given = made(name, plan.batch, plan.device)
        targets = objects(count, plan.batch, plan.device)
        self.call = assignment(detector, given, targets)
        self.calls = {"assignment": self.call}
        main = detector.supervisions[0].assigners.tasks.loc
        if isinstance(main, OneToOneAssigner):
            self.calls[FULL] = all_pairs(main, given, targets)

    def times(self) -> dict[str, Any]:
        plan = self.plan
        found = interleaved(self.calls, plan.device, 1, plan.rounds, plan.clock)
        record = {"detector": self.name, "objects": self.count, "batch": plan.batch}
        record |= found["assignment"].summary()
        return record | ({"all_pairs_ms": found[FULL].median_ms} if FULL in found else {})


def steps(names: list[str], plan: Plan) -> dict[str, Timing]:
    """Training steps of the detectors, torchvision's FCOS first."""
    sample = speed.scene(WIDTH, HEIGHT, plan.batch, plan.device, STEP_OBJECTS)
    setting, calls = speed.SETTINGS[1], {}
    every: dict[str, Any] = {"torchvision": speed.Theirs("fcos", setting, WIDTH, HEIGHT)}
    every |= {name: speed.Ours(name, setting) for name in names}
    for name, one in every.items():
        one.model.to(plan.device)
        calls[name] = speed.training(one, sample, same_sgd=False)
    return interleaved(calls, plan.device, plan.step_warmup, plan.step_rounds, plan.clock)


def markdown(records: list[dict[str, Any]], taken: dict[str, Timing]) -> str:
    """One line per detector: milliseconds and MiB by objects, its step, the assignment's share."""
    counts = sorted({one["objects"] for one in records})
    heads = [f"{count} objects" for count in counts]
    lines = [
        f"| detector | {' | '.join(heads)} | training step | torchvision's FCOS by it | share |",
        f"|:--|{'--:|' * (len(counts) + 3)}",
    ]
    for name in dict.fromkeys(one["detector"] for one in records):
        own = {one["objects"]: one for one in records if one["detector"] == name}
        cells = [
            f"{own[count]['median_ms']:.0f} ms, {own[count]['peak_bytes'] / MEBIBYTE:.0f} MiB"
            for count in counts
        ]
        if name in taken and STEP_OBJECTS in own:
            step = taken[name].median_ms
            ratio = taken["torchvision"].median_ms / step
            share = own[STEP_OBJECTS]["median_ms"] / step
            cells += [f"{step:.0f} ms", f"{ratio:.2f}", f"{share:.1%}"]
        else:
            cells += ["", "", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    full = {one["objects"]: one for one in records if "all_pairs_ms" in one}
    if full:
        cells = [f"{full[count]['all_pairs_ms']:.0f} ms" for count in counts]
        lines.append(f"| {FULL} | {' | '.join(cells)} | | | |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__ or "", "of the assigners", batch=2)
    parser.add_argument("--detectors", nargs="+", default=DETECTORS, help="names without -r50")
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 20, 100, 300])
    parser.add_argument("--steps", nargs="*", help="of which detectors; by default of all")
    parser.add_argument("--step-warmup", type=int, default=1, help="rounds before the first")
    parser.add_argument("--step-rounds", type=int, default=3, help="0 leaves the steps out")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    device, clock = options.start(asked)
    plan = Plan(asked.batch, device, asked.rounds, asked.step_warmup, asked.step_rounds, clock)
    pairs = list(itertools.product(asked.detectors, asked.objects))
    print("memory ...", file=sys.stderr, flush=True)
    peaks = [peak(Case(*pair, plan).call, device) for pair in pairs]
    print("assigners ...", file=sys.stderr, flush=True)
    records = [Case(*pair, plan).times() for pair in pairs]
    for record, most in zip(records, peaks, strict=True):
        record["peak_bytes"] = most
    print("training steps ...", file=sys.stderr, flush=True)
    named = asked.detectors if asked.steps is None else asked.steps
    taken = steps(named, plan) if asked.step_rounds else {}
    print(markdown(records, taken))
    summed = {name: timing.summary() for name, timing in taken.items()}
    options.write(asked, "assigners", {"records": records, "steps": summed})


if __name__ == "__main__":
    main()
