"""``detbench predict``: what a detector sees in single images, before and after NMS."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detbench.cli import common, single, subjects
from detbench.cli.common import argument, option, path_option
from detbench.cli.subjects import Source, Subject
from detbench.errors import RecipeError, WeightsError
from detbench.report.table import Entry, Sheet, columns, number, plain
from detbench.results.files import write_atomic
from detbench.runner.plan import Request

if TYPE_CHECKING:
    from detbench.evaluation.competition import Competition
    from detbench.evaluation.inspection import Inspection
    from detbench.recipe.experiment import Cell

EXAMPLES = (
    "detbench predict 0 1 2 --row tscode-table1:FCOS --profile smoke",
    "detbench predict 0 1 --detector fcos-r50 --weights runs/fcos-r50-smoke-0/weights.pt",
    "detbench predict street.jpg --detector atss-r50 --weights atss_r50_fpn_1x_coco.pth "
    "--profile paper",
    "detbench predict images/*.jpg --row my-table.toml:mine --annotations val.json --score 0.5",
)


def command(
    images: Annotated[
        list[str],
        argument("IMAGE...", "Image files, or numbers of val images of the data set, from 0."),
    ],
    detector: Annotated[
        str | None,
        option(
            "NAME",
            "Id of a detector, as in fcos-r50, or a file of your own.",
            complete=common.complete_detectors,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        option(
            "FILE",
            "The detector's weights: a file of ours, or a checkpoint of MMDetection, torchvision "
            "or detectron2.",
        ),
    ] = None,
    row: Annotated[
        str | None,
        option(
            "TABLE:ROW",
            "In place of --detector: a row that was run, by the weights it left in --results.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        path_option("FILE", "COCO annotations of the image files, found by their names."),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(
            help="Draw boxes that score as much; by default 0.3, or half the image's best score "
            "where that is less.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    out: Annotated[Path, path_option("DIR", "Folder of the pictures and the JSON.")] = Path(
        "predictions"
    ),
    profile: common.ProfileOption = None,
    dataset: common.DatasetOption = None,
    set_: common.SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the row's training.", min=0)] = 0,
    device: common.DeviceOption = "auto",
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Draw a detector's boxes on images, before and after NMS, and write them as JSON.

    With ground truth (val images of a data set, or --annotations) a second picture shows, for each
    object, its best-placed box among its best-scored ones before NMS, as Figure 1 of TSCODE does.
    Writes NAME.png, NAME-objects.png and predictions.json to --out.
    """
    common.before_torch()
    root = common.data_root(data_root)
    asked = common.request("", profile, root, [seed], set_, dataset=dataset)
    cell, file, name = _which(detector, weights, row, asked, common.results_root(results))
    # Names of images first: a mistake in them is found before anything heavy is loaded.
    source = subjects.source(images, annotations, cell.data, root)
    single.log_to_stderr()

    from detbench.assembly import build_detector
    from detbench.measure.device import resolve
    from detbench.training import seeding
    from detbench.training.weights import load_file

    where = resolve(device)
    seeding.choose_determinism(where)
    network = build_detector(cell.detector, source.names)
    try:
        # A detector that is to be seen needs all its weights: there is no such option here.
        load_file(network, file, allow_partial=None, whole=True)
    except WeightsError as error:
        raise WeightsError(f"{error} ({source.explain}, --profile another network)") from error

    from detbench.evaluation.inspection import inspect

    def looks() -> Iterator[tuple[Subject, Inspection]]:
        for subject in source.subjects():
            settings = cell.training.input, cell.detector.pixels
            last = cell.training.channels_last
            yield subject, inspect(network, subject.image, *settings, where, last)

    found = [_draw(subject, seen, source, name, score, out) for subject, seen in looks()]
    _write(out, name, file, found)
    common.emit(_sheet(found), format)


def _which(
    detector: str | None, weights: str | None, row: str | None, asked: Request, results: Path
) -> tuple[Cell, Path, str]:
    """The cell that is meant, the file of its weights, and what to call it."""
    if row is not None and detector is None:
        if weights is not None:
            raise RecipeError("--weights does not go with --row, whose weights lie in --results")
        return subjects.stored_row(row, asked, results)
    if row is not None or detector is None:
        raise RecipeError("give --detector NAME with --weights FILE, or --row TABLE:ROW")
    if weights is None:
        raise RecipeError("--detector needs --weights FILE: detbench train makes one")
    file = single.weights_file(weights)
    cell, _ = single.choose(replace(asked, table=detector), here=False)
    return cell, file, Path(detector).stem if detector.endswith(".toml") else detector


def _draw(
    subject: Subject,
    seen: Inspection,
    source: Source,
    name: str,
    score: float | None,
    out: Path,
) -> dict[str, Any]:
    """Write the pictures of one image; what there is to say of it."""
    import numpy as np

    from detbench.evaluation.competition import competitions
    from detbench.report import drawing, pictures

    pixels = np.ascontiguousarray(subject.image.permute(1, 2, 0).numpy())
    least = _least(seen) if score is None else score
    before, after = (one.chosen(one.scores >= least) for one in (seen.before, seen.after))
    title = f"{name} on {subject.title}; boxes that score {least:g} or more"
    path = out / f"{subject.stem}.png"
    drawing.save(
        path,
        pictures.before_and_after(pixels, before, after, source.names, title, subject.objects),
    )
    found: list[Competition] = []
    paths = [path]
    if subject.objects is not None:
        whole = subject.objects.boxed.chosen(~subject.objects.crowd)
        found = competitions(seen.every, whole)
        if found:
            title = f"{name} on {subject.title}: best IoU against best scores, before NMS"
            paths.append(out / f"{subject.stem}-objects.png")
            drawing.save(paths[-1], pictures.competition(pixels, found, source.names, title))
    for one in paths:
        common.say(str(one))
    return {
        "subject": subject,
        "least": least,
        "shown": (len(before), len(after)),
        "before": seen.before,
        "after": seen.after,
        "competitions": None if subject.objects is None else found,
        "pictures": paths,
        "names": source.names,
        "ids": source.ids,
    }


def _least(seen: Inspection) -> float:
    """The score to draw from where none is asked for, to two digits."""
    best = float(seen.after.scores.max(initial=0.0))
    return min(0.3, math.floor(50 * best) / 100)


def _write(out: Path, name: str, weights: Path, found: list[dict[str, Any]]) -> None:
    """The JSON of all images."""
    payload = {
        "detector": name,
        "weights": str(weights),
        "images": [subjects.as_json(one) for one in found],
    }
    path = out / "predictions.json"
    write_atomic(path, (json.dumps(payload, separators=(",", ":")) + "\n").encode())
    common.say(str(path))


def _sheet(found: list[dict[str, Any]]) -> Sheet:
    """A row for each image."""
    truth = any(one["competitions"] is not None for one in found)
    heads = columns(image="Image", score=">score from", before=">before NMS", after=">after NMS")
    notes = ["Boxes that are drawn: those with this score or more."]
    if truth:
        heads += columns(
            objects=">objects", iou_of_best_score=">IoU of best score", best_iou=">best IoU"
        )
        notes.append(
            "IoU with each object, mean over the image's: of the box with the best score, and the "
            "best of any box, before NMS. An object without a box counts 0."
        )
    rows = []
    for one in found:
        means = _means(one["competitions"] or []) if truth else []
        seen = (one["subject"].title, number(one["least"], 2), *one["shown"])
        rows.append((*seen, *means, str(one["pictures"][0])))
    return plain((*heads, *columns(picture="picture")), rows, notes)


def _means(found: list[Competition]) -> list[int | Entry]:
    """How many objects, and the means over them."""
    if not found:
        return [0, number(None), number(None)]
    scored = [one.best_scores[0].iou if one.best_scores else 0.0 for one in found]
    placed = [one.best_iou.iou if one.best_iou else 0.0 for one in found]
    return [len(found), number(sum(scored) / len(found), 2), number(sum(placed) / len(found), 2)]
