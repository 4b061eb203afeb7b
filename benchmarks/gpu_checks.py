"""What ``gpu.py`` asks of correctness: the device computes what the CPU does."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from timed import ENDING_S, Run, started, started_as
from torch import Tensor

from detbench.assembly import build_detector
from detbench.ops import roi_pooling, suppression
from detbench.ops.boxes import pairwise_iou
from detbench.ops.deformable import deform_conv2d
from detbench.ops.soft_suppression import soft_suppress
from detbench.recipe import load
from detbench.recipe.light import lighten
from detbench.structures import Detections, Targets
from detbench.training.precision import autocast

SIDE, CLASSES = 128, 3
CLOSE = {"bf16": 0.1, "fp16": 0.02}
"""How far a loss may be from float32's, as a share of it, before it is named."""
LEAST = 0.01
"""A loss below it is compared by shares of this: a millionth of nothing is nothing."""
LIGHT = ("--profile", "smoke", "--set", "data.train=64", "--set", "data.val=16")


def apart(one: Any, other: Any) -> float:
    """The largest difference, as a share of the largest value."""
    first, second = (torch.as_tensor(x).detach().float().cpu() for x in (one, other))
    return float((first - second).abs().max() / first.abs().max().clamp(min=1e-6))


def processes(run: Run) -> dict[str, Any]:
    """Two processes that share the device train as one does; skipped without a GPU."""
    return _tests(run, "tests/cuda/test_shared.py")


def tests(run: Run) -> dict[str, Any]:
    """``tests/cuda``: gradients and every option too, waits, trainings; skipped without a GPU."""
    return _tests(run, "tests/cuda")


def _tests(run: Run, path: str) -> dict[str, Any]:
    # Other packages' plugins and warnings are not what is asked.
    own = ("-p", "no:benchmark", "-W", "default", "-n", str(min(8, os.cpu_count() or 1)))
    command = [sys.executable, "-m", "pytest", path, *own]
    reason = {}
    with started_as(command) as process:
        try:
            out, err = process.communicate(timeout=max(1.0, run.left))
        except subprocess.TimeoutExpired:
            reason = {"reason": "the time was over"}
            os.killpg(process.pid, signal.SIGINT)  # it still says what it has
            try:
                out, err = process.communicate(timeout=ENDING_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
    lines = [one for one in out.splitlines() if one.strip()]
    wrong = [one for one in lines if one.startswith(("FAILED", "ERROR"))]
    if process.returncode and not wrong and not reason:
        raise RuntimeError((out + err)[-2000:])
    return {"pytest": lines[-1] if lines else "", "wrong": wrong, **reason}


def operations(run: Run) -> dict[str, Any]:
    """Differences of each operation between the device and the CPU."""
    torch.manual_seed(3)
    low = torch.rand(500, 2) * 200
    boxes = torch.cat((low, low + 4 + torch.rand(500, 2) * 120), dim=1)
    scores, labels = torch.rand(500), torch.randint(0, 3, (500,))
    levels = [torch.randn(2, 8, 64 >> k, 64 >> k) for k in range(4)]
    rois = torch.cat((torch.randint(0, 2, (500, 1)).float(), boxes), dim=1)
    shares, strides = torch.randn(500, 7, 7, 2) * 0.1, [4, 8, 16, 32]
    bent = [levels[0], torch.randn(2, 18, 64, 64), torch.randn(8, 8, 3, 3)]
    bent.append(torch.rand(2, 9, 64, 64))

    def every(device: torch.device) -> dict[str, Tensor]:
        maps = [x.to(device) for x in levels]
        at, where, by = (x.to(device) for x in (boxes, rois, shares))
        sure, named = scores.to(device), labels.to(device)
        given = [x.detach().to(device).requires_grad_() for x in bent]
        convolved = deform_conv2d(*given, padding=1)
        gradients = torch.autograd.grad(convolved.square().sum(), given)
        bins, shifted = roi_pooling.Bins(7, 1.0), roi_pooling.ShiftedBins(7, 4, "aligned")
        soft = soft_suppress(Detections(at, sure, named), 0.5, 0.05, 100)
        return {
            "deformable convolution": convolved.detach(),
            **{f"its gradient {place}": one for place, one in enumerate(gradients)},
            "NMS": suppression.survivors(at, sure, named, 0.5, 100),
            "soft-NMS": soft.scores,
            "RoIAlign": roi_pooling.align(maps, strides, where, bins),
            "deformable pooling": roi_pooling.deformable(maps, strides, where, by, shifted),
        }

    ours, theirs = every(torch.device("cpu")), every(run.device)
    found = {name: apart(ours[name], theirs[name]) for name in ours}
    return {"differences": found, "wrong": [name for name, x in found.items() if not x <= 1e-4]}


def network(name: str) -> Any:
    """A light detector with scores and boxes that differ, as after some training."""
    light = load.profile("smoke").light
    if light is None:
        raise RuntimeError("the profile smoke has no light networks")
    torch.manual_seed(0)
    found = build_detector(lighten(load.detector(name).detector, light), CLASSES)
    for module in found.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and module.weight.std() < 0.02:
            torch.nn.init.kaiming_uniform_(module.weight, a=1)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.6)
    if hasattr(found, "rpn"):
        torch.nn.init.normal_(found.rpn.loc.weight, std=0.03)
    return found


def scene() -> tuple[Tensor, Targets]:
    """Two images, one of them without objects."""
    torch.manual_seed(1)
    boxes = [torch.tensor([[16.3, 16.2, 80.5, 60.7], [40.3, 8.2, 120.5, 120.7]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    sizes = torch.tensor([[SIDE, SIDE]] * 2)
    return torch.randn(2, 3, SIDE, SIDE), Targets.pad(boxes, labels, sizes)


@contextlib.contextmanager
def drawn_alike() -> Iterator[None]:
    """Random numbers are drawn on the CPU, and convolutions exact, so that devices agree."""
    rand, backends = torch.rand, torch.backends.cudnn
    before = backends.allow_tf32, backends.deterministic

    def same(*shape: Any, device: Any = None, **more: Any) -> Tensor:
        return rand(*shape, **more).to(device)

    torch.rand = same  # type: ignore[assignment]
    backends.allow_tf32, backends.deterministic = False, True
    try:
        yield
    finally:
        torch.rand = rand
        backends.allow_tf32, backends.deterministic = before


def losses(one: Any, images: Tensor, targets: Targets, precision: str = "fp32") -> dict[str, float]:
    """Of a training step on the device that the images are on."""
    torch.manual_seed(2)
    with autocast(images.device, precision), torch.no_grad():
        found = one.train().losses(images, targets)
    return {name: float(x.float()) for name, x in found.items()}


def share_found(one: Detections, other: Detections) -> float:
    """Share of detections that the other has: class, place and score."""
    if not len(one):
        return 1.0
    same = pairwise_iou(one.boxes, other.boxes.cpu()) > 0.99
    same &= one.labels[:, None] == other.labels.cpu()
    same &= (one.scores[:, None] - other.scores.cpu()).abs() < 1e-3
    return float(same.any(dim=1).float().mean())


def names(run: Run) -> list[str]:
    """Every detector without masks; of a small run four."""
    every = [name for name in load.detectors() if "mask" not in name]
    return every[:: max(1, len(every) // 4)] if run.small else every


def each(run: Run, ask: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What is asked of every detector, as far as the time goes."""
    found: dict[str, Any] = {"detectors": {}, "wrong": [], "not reached": []}
    for name in names(run):
        if run.left < 0:
            found["not reached"].append(name)
            continue
        found["detectors"][name] = one = ask(name)
        found["wrong"] += [name] if one["wrong"] else []
    return found


def detectors(run: Run) -> dict[str, Any]:
    """Losses and detections on the device against the CPU."""

    def ask(name: str) -> dict[str, Any]:
        images, targets = scene()
        sizes = torch.tensor([[SIDE, SIDE]] * 2)
        with drawn_alike(), torch.no_grad():
            ours = network(name)
            theirs = copy.deepcopy(ours).to(run.device)
            there, marks = images.to(run.device), targets.to(run.device)
            first, second = losses(ours, images, targets), losses(theirs, there, marks)
            found = ours.eval().detect(images, sizes)
            other = theirs.eval().detect(there, sizes.to(run.device))
        shares = [abs(x - second[key]) / max(abs(x), LEAST) for key, x in first.items()]
        far = float(torch.tensor(shares).max())  # which is not a number if one is not
        share = min(share_found(one, two) for one, two in zip(found, other, strict=True))
        return {"loss": far, "detections": share, "wrong": not (far <= 1e-3 and share >= 0.97)}

    return each(run, ask)


def precisions(run: Run) -> dict[str, Any]:
    """Losses in bf16 and fp16 against float32, on the device."""

    def ask(name: str) -> dict[str, Any]:
        images, targets = scene()
        one, there = network(name).to(run.device), images.to(run.device)
        marks = targets.to(run.device)
        found: dict[str, Any] = {}
        with drawn_alike():
            exact = sum(losses(one, there, marks).values())
            for precision in CLOSE:
                total = sum(losses(one, there, marks, precision).values())
                found[precision] = abs(total - exact) / max(abs(exact), 1e-6)
        # Which candidates teach may change with a rounding, so that a loss may differ by more.
        finite = all(x == x and x != float("inf") for x in found.values())
        found["far"] = [p for p, limit in CLOSE.items() if found[p] > limit]
        return {**found, "wrong": not finite}

    return each(run, ask)


def curve(folder: Path) -> list[float]:
    """Losses that a training left."""
    path = folder / "curve.jsonl"
    return [json.loads(x)["total"] for x in path.read_text().splitlines()] if path.exists() else []


def resume(run: Run) -> dict[str, Any]:
    """A training that is stopped and goes on ends as one that was not."""
    length = 12 if run.small else 40
    more = (*LIGHT, "--set", f"training.iterations={length}", "--device", str(run.device))
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole", Path(folder) / "cut"
        run.command("train", "fcos-r50", *more, "--out", str(whole))
        with started("train", "fcos-r50", *more, "--out", str(cut)) as process:
            while len(curve(cut)) < 4 and process.poll() is None:
                run.check()
                time.sleep(0.02)
            stopped = process.poll() is None
        run.command("train", "fcos-r50", *more, "--out", str(cut))
        ours, theirs = curve(whole), curve(cut)
        files = [torch.load(x / "weights.pt", map_location="cpu")["detector"] for x in (whole, cut)]
    equal = all(torch.equal(x, files[1][key]) for key, x in files[0].items())
    wrong = [] if equal and len(ours) == len(theirs) == length else ["weights"]
    return {"stopped": stopped, "equal": equal, "losses": [ours[-1], theirs[-1]], "wrong": wrong}
