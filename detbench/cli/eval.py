"""``detbench eval``: score a detector's weights, or detections that are there already."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detbench.cli import common, single
from detbench.cli.common import argument, option, path_option, switch
from detbench.errors import RecipeError
from detbench.report.scores import Intervals, More, sheet
from detbench.report.table import Sheet

if TYPE_CHECKING:
    from detbench.evaluation.detections import GroundTruth
    from detbench.recipe.experiment import Data, Evaluation

EXAMPLES = (
    "detbench eval fcos-r50 --weights runs/fcos-r50-smoke-0/weights.pt --profile smoke",
    "detbench eval atss-r50 --weights atss_r50_fpn_1x_coco.pth --profile paper --data-root /data",
    "detbench eval --results detections.json.gz --annotations instances_val2017.json",
    "detbench eval --results detections.json --dataset coco --evaluator pycocotools --format json",
    "detbench eval --results segm.json --annotations instances_val2017.json",
)


def command(
    detector: Annotated[
        str | None,
        argument(
            "[DETECTOR]",
            "Id of a detector, as in fcos-r50, or a file of your own; not with --results.",
            complete=common.complete_detectors,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        option(
            "FILE",
            "A file of ours, a checkpoint of MMDetection, torchvision or detectron2, or none for "
            "the untrained network.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        path_option(
            "FILE",
            "Score COCO results (.json or .json.gz) of boxes, masks or both, without a model.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None, path_option("FILE", "COCO annotations to score --results against.")
    ] = None,
    dataset: common.DatasetOption = None,
    profile: common.ProfileOption = None,
    set_: common.SetOption = None,
    device: common.DeviceOption = "auto",
    allow_partial: common.AllowPartialOption = False,
    evaluator: Annotated[
        single.Engine, typer.Option(help="Whose code: ours, faster-coco-eval's or COCO's own.")
    ] = "detbench",
    thresholds: Annotated[bool, switch("--thresholds", "AP at each IoU threshold too.")] = False,
    intervals: Annotated[
        bool,
        switch("--intervals", "A 95 % interval of each metric, over the choice of images."),
    ] = False,
    by_class: Annotated[
        bool, switch("--by-class", "COCO's metrics of each class too, a row each; by our code.")
    ] = False,
    save: Annotated[
        Path | None, path_option("FILE", "Keep the detections as COCO results (.json or .json.gz).")
    ] = None,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Evaluate DETECTOR with --weights, or a file of detections with --results; print the metrics.

    With --results, the ground truth is --annotations, else the val split of --dataset, else that of
    --profile; of --set, only evaluation.* and data.* apply, as in evaluation.max_detections=300.
    """
    if results is not None:
        _only("--results", detector=detector, weights=weights, save=save)
        common.emit(
            _score_file(
                results,
                annotations,
                single.settings(profile, dataset, set_ or ()),
                common.data_root(data_root),
                evaluator,
                Shown(thresholds, intervals, by_class),
            ),
            format,
        )
        return
    if detector is None or weights is None:
        raise RecipeError("give DETECTOR and --weights FILE, or --results FILE; see --help")
    _only("DETECTOR", annotations=annotations)
    common.before_torch()
    root = common.data_root(data_root)
    asked = common.request(detector, profile, root, set_=set_, dataset=dataset)
    cell, _ = single.choose(asked)
    file = None if weights == "none" else single.weights_file(weights)
    single.log_to_stderr()

    from detbench.evaluation import results as files
    from detbench.evaluation.run import load_and_score
    from detbench.evaluation.scoring import sentence
    from detbench.measure.device import resolve
    from detbench.training import distributed, memory
    from detbench.training.host import Host

    where = distributed.device(resolve(device))
    with (
        single.shown(detector) as report,
        distributed.joined(where) as team,
        memory.advised(),
    ):
        host = Host(root, where, report, team)
        found = load_and_score(cell, file, host, allow_partial, evaluator)
    if not team.first:
        return
    if save is not None:
        files.write(save, found.detections)
    said = single.protocol(cell.data.label(), found.images, cell.evaluation, evaluator)
    shown, more = Shown(thresholds, intervals, by_class), More()
    if intervals or by_class:
        judged = (cell.data.truth(root), found.detections, cell.evaluation)
        more = _more(judged, found.metrics, detector, shown)
    note = sentence(cell.data)
    common.emit(sheet(detector, found.metrics, said, thresholds, note, more), format)


@dataclass(frozen=True)
class Shown:
    """What is printed beside the usual metrics."""

    thresholds: bool
    intervals: bool
    by_class: bool


Judged = tuple["GroundTruth", Any, "Evaluation"]
"""Ground truth, COCO results, and how they are scored."""


def _more(judged: Judged, metrics: Mapping[str, float | None], name: str, shown: Shown) -> More:
    """Intervals and classes, where they are asked for."""
    known = _intervals(*judged, metrics, name) if shown.intervals else {}
    return More(known, _classes(judged, metrics, name) if shown.by_class else ())


def _classes(
    judged: Judged, metrics: Mapping[str, float | None], name: str
) -> list[tuple[str, Mapping[str, float | None]]]:
    from detbench.evaluation.accumulate import by_class
    from detbench.evaluation.matching import match
    from detbench.evaluation.metric import by_kind

    kinds = [masks for masks, _ in by_kind(list(metrics))]
    matches = [match(*judged, name, masks) for masks in kinds]
    parts = [by_class(one) for one in matches]
    joined = [dict(ChainMap(*some)) for some in zip(*parts, strict=True)]
    return list(zip(matches[0].names, joined, strict=True))


def _only(mode: str, **options: object) -> None:
    """Refuse options that do nothing in this mode."""
    for name, value in options.items():
        if value is not None:
            option = name.upper() if name == "detector" else f"--{name}"
            raise RecipeError(f"{option} does not go with {mode}: leave one of them out")


def _score_file(
    path: Path,
    annotations: Path | None,
    settings: tuple[Data, Evaluation],
    root: Path,
    evaluator: single.Engine,
    shown: Shown,
) -> Sheet:
    """The table of a results file, without torch."""
    from detbench.evaluation import masks, results, scoring, truth
    from detbench.evaluation.detections import truth_columns

    data, evaluation = settings
    found = results.read(path)
    masked = masks.of(found)
    ground = truth.of_file(annotations, masked) if annotations else data.truth(root, masked)
    scored_on = None if annotations else data
    metrics = scoring.score(scored_on, ground, found, evaluation, evaluator, str(path))
    images = len(truth_columns(ground, evaluation.limit).image_ids)
    source = str(annotations) if annotations else data.label()
    said = single.protocol(source, images, evaluation, evaluator)
    more = _more((ground, found, evaluation), metrics, path.name, shown)
    note = scoring.sentence(scored_on)
    return sheet(path.name, metrics, said, shown.thresholds, note, more)


def _intervals(
    ground: GroundTruth,
    results: Any,
    evaluation: Evaluation,
    metrics: Mapping[str, float | None],
    name: str,
) -> Intervals:
    """Intervals of those of the metrics that can be resampled and are defined."""
    from detbench.evaluation.metric import METRICS
    from detbench.statistics import bootstrap, replicates

    wanted = [
        one
        for one, value in metrics.items()
        if one in (*METRICS, *replicates.OTHERS) and value is not None
    ]
    found = replicates.of_results(ground, results, evaluation, wanted, replicates.RESAMPLING, name)
    return bootstrap.of_one([found], wanted)
