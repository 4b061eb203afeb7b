"""Statistics from COCO results: files of anyone's detector, or lists. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detbench.errors import RecipeError
from detbench.evaluation import results as files
from detbench.evaluation import truth
from detbench.evaluation.detections import GroundTruth, truth_columns
from detbench.evaluation.matching import match
from detbench.recipe.experiment import Evaluation
from detbench.statistics import bootstrap, corrections, randomisation, replicates
from detbench.statistics.bootstrap import OPTIONS, Difference, Interval, Options
from detbench.statistics.replicates import Replicates, Resampling

Results = str | Path | list[dict[str, Any]]
"""A file (.json, .json.gz) or what it holds."""
Truth = str | Path | GroundTruth
EVALUATION = Evaluation()


def compare(
    ground_truth: Truth,
    a: Sequence[Results],
    b: Sequence[Results],
    metrics: Sequence[str] = ("AP",),
    replicates: int = bootstrap.REPLICATES,
    options: Options = OPTIONS,
) -> dict[str, Difference]:
    """b less a in each metric: a paired bootstrap over the images, over seeds too where several.

    Args:
        ground_truth: COCO instances.
        a, b: each side's seeds, one or more.
        metrics: ``AP``, ``AP50`` to ``AP95``, ``APs``, ``AR``, of a class as ``AP[person]``;
            ``VOC07``, ``VOC``.

    Raises:
        DataError: something is no COCO file, or does not fit the ground truth.
        RecipeError: an unknown metric or class, no results, or too few replicates.
    """
    ground = _truth(ground_truth)
    how = Resampling(replicates, 0, options.clusters)
    first, second = (resample(ground, one, metrics, how) for one in (a, b))
    return bootstrap.between(first, second, metrics, options.rule)


def by_class(
    ground_truth: Truth,
    a: Sequence[Results],
    b: Sequence[Results],
    metric: str = "AP",
    replicates: int = bootstrap.REPLICATES,
    options: Options = OPTIONS,
) -> dict[str, tuple[Difference, float | None]]:
    """Class -> its difference, and q after Benjamini and Hochberg over all that have a p."""
    ground = _truth(ground_truth)
    names = truth_columns(ground).names
    metrics = [f"{metric}[{name}]" for name in names]
    found = compare(ground, a, b, metrics, replicates, options)
    known = [one for one in metrics if found[one].p is not None]
    q = corrections.benjamini_hochberg([found[one].p or 0.0 for one in known])
    by_name = dict(zip(known, q, strict=True))
    return {name: (found[one], by_name.get(one)) for name, one in zip(names, metrics, strict=True)}


def intervals(
    ground_truth: Truth,
    results: Sequence[Results],
    metrics: Sequence[str] = ("AP",),
    replicates: int = bootstrap.REPLICATES,
    options: Options = OPTIONS,
) -> dict[str, Interval]:
    """The interval of each metric of one detector; its seeds are ``results``."""
    how = Resampling(replicates, 0, options.clusters)
    side = resample(_truth(ground_truth), results, metrics, how)
    return bootstrap.of_one(side, metrics, options.rule)


def randomise(
    ground_truth: Truth, a: Results, b: Results, metrics: Sequence[str] = ("AP",), swaps: int = 1000
) -> dict[str, float | None]:
    """p of two trainings by approximate randomisation, see ``randomisation``."""
    ground = _truth(ground_truth)
    first, second = (match(ground, _read(one), EVALUATION, _named(one)) for one in (a, b))
    return randomisation.swapped(first, second, metrics, swaps)


def resample(
    ground_truth: Truth,
    side: Sequence[Results],
    metrics: Sequence[str],
    how: Resampling = replicates.RESAMPLING,
    evaluation: Evaluation = EVALUATION,
) -> list[Replicates]:
    """A side's trainings in every replicate, for ``bootstrap.between``, tables and contrasts."""
    if not side:
        raise RecipeError("a side has no results: give one for each seed")
    ground = _truth(ground_truth)
    return [
        replicates.of_results(ground, _read(one), evaluation, metrics, how, _named(one))
        for one in side
    ]


def _truth(one: Truth) -> GroundTruth:
    return truth.of_file(Path(one)) if isinstance(one, str | Path) else one


def _read(one: Results) -> Any:
    return files.read(Path(one)) if isinstance(one, str | Path) else one


def _named(one: Results) -> str:
    return str(one) if isinstance(one, str | Path) else "results"
