"""Evaluation of a detector on the val split of its cell's data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from detbench import data
from detbench.assembly import build_detector
from detbench.data.loading import EvalLoader
from detbench.errors import RecipeError
from detbench.evaluation import scoring
from detbench.evaluation.coco import Evaluator
from detbench.evaluation.detections import GroundTruth, image_ids
from detbench.evaluation.predict import predict
from detbench.evaluation.views import ViewLoader
from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import listed
from detbench.training import seeding
from detbench.training.compiling import compiled
from detbench.training.host import Host
from detbench.training.validation import Scorer
from detbench.training.weights import load_file


@dataclass(frozen=True)
class Scored:
    """What an evaluation gives.

    Attributes:
        metrics: in [0, 1], or none where undefined.
        detections: COCO results.
        images: how many were evaluated.
    """

    metrics: dict[str, float | None]
    detections: list[dict[str, Any]]
    images: int


def score(detector: nn.Module, cell: Cell, host: Host, evaluator: Evaluator = "detbench") -> Scored:
    """Detect on every val image, in float32, and score.

    Args:
        detector: with as many classes as the data set.
        host: where it is done. The first process gets what one alone would; the others neither
            metrics nor detections.

    Raises:
        DataError: the data set is missing or damaged.
        CellFailed: a detection is not finite.
    """
    dataset = data.load(cell.data, "val", host.data_root)
    settings, team = cell.evaluation, host.team
    views = cell.detector.inference.views
    loader: EvalLoader | ViewLoader
    if views is None:
        loader = EvalLoader(
            *(dataset, cell.training.input, cell.detector.pixels),
            *(settings.batch, settings.limit, host.loading),
        )
    else:
        loader = ViewLoader(dataset, cell, views, host.loading)
    last = cell.training.channels_last
    with compiled(detector, settings.compile, host.device):
        own = predict(detector, loader, dataset.categories, host.device, host.report, last)
    truth = dataset.truth()
    found = _in_order(team.gather(own), truth)
    if not team.first:
        return Scored({}, [], loader.images)
    masked = cell.data.truth(host.data_root, masks=True) if cell.masks else None
    metrics = scoring.score(cell.data, masked or truth, found, settings, evaluator)
    return Scored(metrics, found, loader.images)


def scorer(cell: Cell, host: Host) -> Scorer | None:
    """What ``training.validation`` of ``cell`` is scored by, as ``score`` does it; none without.

    Raises:
        RecipeError: its metric is not defined on these images.
        DataError: the data set is missing or damaged.
    """
    looks = cell.training.validation
    if looks is None:
        return None
    truth = cell.data.truth(host.data_root, masks=cell.masks)
    known = scoring.score(cell.data, truth, [], cell.evaluation)
    if known.get(looks.metric) is None:
        defined = listed(name for name, value in known.items() if value is not None)
        raise RecipeError(
            f"training.validation.metric: {looks.metric} is not defined for this detector on these "
            f"images: take one of {defined}"
        )
    return lambda detector, report: score(detector, cell, replace(host, report=report)).metrics


def _in_order(parts: list[list[dict[str, Any]]] | None, truth: GroundTruth) -> list[dict[str, Any]]:
    """The detections of several processes in the order that one gives them: the data set's."""
    if parts is None or len(parts) == 1:
        return parts[0] if parts else []
    place = {number: index for index, number in enumerate(image_ids(truth))}
    every = [one for part in parts for one in part]
    return sorted(every, key=lambda one: place[one["image_id"]])


def load_and_score(
    cell: Cell,
    weights: Path | None,
    host: Host,
    allow_partial: bool = False,
    evaluator: Evaluator = "detbench",
) -> Scored:
    """Build the detector of ``cell``, load ``weights`` and ``score`` it.

    Args:
        weights: a file of all its weights; None is the untrained network.

    Raises:
        WeightsError: the file is missing, damaged or for another detector.
    """
    seeding.choose_determinism(host.device)
    seeding.seed_everything(cell.seed)
    names = data.class_names(data.load(cell.data, "val", host.data_root))
    detector = build_detector(cell.detector, names)
    if weights is not None:
        load_file(detector, weights, allow_partial, whole=True)
    return score(detector, cell, host, evaluator)
