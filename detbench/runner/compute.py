"""What a cell's process computes, and the rows that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import deterministic

from detbench import __version__, data
from detbench.assembly import build_detector
from detbench.errors import WeightsError
from detbench.evaluation.run import score, scorer
from detbench.evaluation.scoring import rules
from detbench.measure import flops
from detbench.measure.figures import Counted, measure
from detbench.progress import Progress
from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import COSTS, METRICS
from detbench.results.schema import Measurement
from detbench.runner import ddp, provenance
from detbench.runner.job import CostItem, TrainJob
from detbench.runner.process import Measured, Report, now
from detbench.training import checkpoint, curve, extension, first_iteration, loop, weights
from detbench.training.host import Host
from detbench.training.precision import memory_format
from detbench.training.seeding import choose_determinism, seed_everything


def train_eval(job: TrainJob, work: Path, report: Report) -> Measured:
    """Train a cell (or go on from its checkpoint), evaluate it, and describe both.

    With ``job.processes`` several processes do so, of which the first gets the rows.

    Weights that another cell of the same training left are evaluated as they are.

    Args:
        work: folder of checkpoint, curve and, afterwards, ``weights.pt``; of this training alone.
        report: called after each step; may raise to stop.

    Raises:
        CellFailed: the loss or a detection is not finite.
        DetbenchError: data, weights or device are wrong.
    """
    started, cell, root = now(), job.cell, Path(job.data_root)
    saved = work / "weights.pt"

    def tell(at: Progress) -> None:
        report(_event(at))

    with ddp.joined(job) as (team, device):
        repeatable(device, job.threads)
        host = Host(root, device, tell, team)
        trained = not team.from_first(lambda: _has_weights(saved))
        if trained:
            looks = scorer(cell, host)
            detector = loop.train(cell, work, host, allow_partial=None, scorer=looks)
            if team.first:
                weights.save(saved, detector)
        else:
            detector = _trained_before(job, saved, device)
        scored = score(detector, cell, host)
    if not team.first:
        return [], None
    origin = {
        "recipe": cell.model_dump(mode="json"),
        **provenance.describe(device),
        "started": started,
        "ended": now(),
        "trained": trained,
        "processes": team.world,
        **_of_training(cell, work),
    }
    how = protocol(cell, scored.images)
    return metric_rows(job.digest, cell, scored.metrics, how, origin), scored.detections


def _has_weights(saved: Path) -> bool:
    """Whether a training is done.

    Raises:
        WeightsError: the weights are another training's.
    """
    content = checkpoint.sound(saved)
    if content is not None and (extended := extension.of(content)):
        raise WeightsError(f"{saved}: {extension.said(extended)}: delete it")
    return content is not None


def _of_training(cell: Cell, work: Path) -> dict[str, Any]:
    """What provenance says of its first iteration, and of weights chosen by their scores."""
    first = {"first": first_iteration.read(work / first_iteration.FILE)}
    path, metric = work / loop.CURVE, cell.training.chosen_by
    best = curve.best(path, metric) if metric else None
    if best is None:
        return first
    of = sum(1 for _ in curve.looks(path))
    chosen = {"iteration": best["iteration"], metric: best[curve.LOOK][metric], "of": of}
    return {**first, "chosen": chosen}


def _trained_before(job: TrainJob, saved: Path, device: torch.device) -> nn.Module:
    """The network of a cell whose training is done, from its file."""
    choose_determinism(device)
    seed_everything(job.cell.seed)
    names = data.class_names(data.load(job.cell.data, "val", Path(job.data_root)))
    detector = build_detector(job.cell.detector, names)
    weights.load_file(detector, saved, whole=True)
    detector.to(device)
    return detector.to(memory_format=memory_format(job.cell.training.channels_last))


def metric_rows(
    digest: str,
    cell: Cell,
    metrics: dict[str, float | None],
    how: dict[str, Any],
    origin: dict[str, Any],
) -> list[Measurement]:
    """One row per metric; one that is not defined on this data says why it is blank."""
    return [
        Measurement(
            digest=digest,
            kind="train-eval",
            metric=metric,
            value=value,
            unit="fraction",
            protocol=how | rules(cell.data, metric),
            seed=cell.seed,
            reason="" if value is not None else "no such object among the val images",
            provenance=origin,
        )
        for metric, value in metrics.items()
    ]


def protocol(cell: Cell, images: int) -> dict[str, Any]:
    """What two APs must share to be comparable, training aside."""
    return {
        "measured_on": cell.data.label(cell.evaluation.limit),
        "data": cell.data.model_dump(mode="json"),
        "split": "val",
        "images": images,
        "input": cell.training.input.model_dump(mode="json"),
        "inference": cell.detector.inference.model_dump(mode="json"),
        "evaluation": cell.evaluation.model_dump(mode="json"),
        "evaluator": f"detbench {__version__}, equal to pycocotools",
        **_choice(cell),
    }


def _choice(cell: Cell) -> dict[str, str]:
    """Which weights are scored, where they are not those at the end of their training."""
    metric = cell.training.chosen_by
    return {"weights": f"of the best {metric} on the evaluated images"} if metric else {}


def cost(item: CostItem) -> Measured:
    """GFLOPs and parameters of a detector, on meta tensors."""
    cell, started = item.cell, now()
    with torch.device("meta"):
        detector = build_detector(cell.detector, cell.num_classes)
    count = flops.count(detector, cell.input, cell.protocol)
    counted = Counted(detector, count, cell.input, cell.protocol, cell.num_classes)
    origin = {
        "recipe": cell.model_dump(mode="json"),
        **provenance.describe(torch.device("cpu")),
        "started": started,
        "ended": now(),
    }
    rows = []
    for metric in COSTS:
        value, how = measure(metric, counted)
        rows.append(
            Measurement(
                digest=item.digest,
                kind="cost",
                metric=metric,
                value=value,
                unit=METRICS[metric].unit,
                protocol=how,
                provenance=origin,
            )
        )
    return rows, None


def repeatable(device: torch.device, threads: int) -> None:
    """Have the same cell give the same numbers: fixed threads, and no algorithm that varies.

    The few operators that have no such algorithm (on CUDA) warn into the cell's log.
    """
    torch.set_num_threads(threads)
    choose_determinism(device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling every new tensor would only hide a read of uninitialised memory, and costs time.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _event(at: Progress) -> dict[str, Any]:
    return {
        "phase": at.phase,
        "iteration": at.iteration,
        "total": at.iterations,
        "loss": at.loss,
        "eta_s": at.remaining,
    }
