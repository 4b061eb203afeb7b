"""``detbench latency``: how long a detector takes per batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common
from detbench.cli.common import argument, option
from detbench.errors import RecipeError
from detbench.report.table import Sheet, columns, number, plain

if TYPE_CHECKING:
    import torch

    from detbench.measure.catalogue import Subject
    from detbench.measure.latency import Latency, Settings

EXAMPLES = (
    "detbench latency fcos-r50 --input 640x480",
    "detbench latency fcos-r50 retinanet-r50 --device cuda --precision fp16 --iterations 200",
    "detbench latency tscode-table1 --no-nms --format markdown",
    "detbench latency gfl-r50 --weights gfl_r50_fpn_1x_coco.pth --format json",
)

STEPS = {
    "preprocess": "pre-processing",
    "model": "model",
    "postprocess": "post-processing",
    "total": "total",
    "postprocess_no_nms": "post-processing without NMS",
    "total_no_nms": "total without NMS",
}

PAIRS = 1000
"""(candidate, class) pairs that post-processing gets where no trained weights say which."""


def command(
    names: Annotated[
        list[str],
        argument(
            "DETECTOR|TABLE",
            "Ids of detectors and tables, or files of your own.",
            complete=common.complete_any,
        ),
    ],
    input: common.InputOption = "1280x800",
    batch: Annotated[int, typer.Option(help="Images at once.", min=1)] = 1,
    iterations: Annotated[int, typer.Option(help="Passes that count.", min=1)] = 20,
    warmup: Annotated[int, typer.Option(help="Passes before them.", min=0)] = 5,
    device: common.DeviceOption = "auto",
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"],
        typer.Option(help="Of convolutions; bf16 and fp16 by autocast."),
    ] = "fp32",
    channels_last: Annotated[
        bool, typer.Option("--channels-last/--channels-first", help="Memory format.")
    ] = True,
    nms: Annotated[
        bool | None,
        typer.Option(
            "--nms/--no-nms", help="Post-processing with NMS, or without; by default both."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        option("FILE", "Trained weights of one detector, which decide how much NMS has to do."),
    ] = None,
    classes: Annotated[int, typer.Option(help="Without background.", min=1)] = 80,
    format: common.FormatOption = "terminal",
) -> None:
    """Measure latency: pre-processing, model and post-processing apart, with and without NMS.

    The clock is read when the device is idle. Reading and decoding an image file is not timed.
    Without --weights the detector is not trained, and its score threshold is placed so that
    post-processing gets 1000 candidates per image. The proposals of a two-stage detector are part
    of its model. json keeps every sample.
    """
    size = common.parse_input(input)
    from detbench.measure.catalogue import subjects

    chosen = [subject for subject in subjects(names) if subject.spec is not None]
    if weights is not None and len(chosen) > 1:
        raise RecipeError(f"--weights {weights}: they are of one detector, not of {len(chosen)}")

    from detbench.measure.device import resolve
    from detbench.measure.latency import Settings

    where = resolve(device)
    pairs = None if weights else PAIRS
    settings = Settings(size, batch, iterations, warmup, precision, channels_last, pairs)
    modes = (True, False) if nms is None else (nms,)
    found = [
        (subject, _measure(subject, settings, where, modes, weights, classes)) for subject in chosen
    ]
    sheet = _sheet(found, settings)
    common.emit(sheet, format, [_payload(*one, classes, weights) for one in found])


def _measure(
    subject: Subject,
    settings: Settings,
    device: torch.device,
    modes: tuple[bool, ...],
    weights: Path | None,
    classes: int,
) -> Latency:
    from detbench.assembly import build_detector
    from detbench.measure import latency
    from detbench.training.weights import load_file

    assert subject.spec is not None
    detector: Any = build_detector(subject.spec, classes)
    if weights is not None:
        load_file(detector, weights, whole=True)
    common.say(
        f"{subject.row}: {settings.warmup} passes to warm up, {settings.iterations} to measure, "
        f"on {device}"
    )
    return latency.measure(detector, subject.spec.pixels, settings, device, modes)


def _payload(
    subject: Subject, found: Latency, classes: int, weights: Path | None
) -> dict[str, Any]:
    """One object of ``--format json``."""
    return {
        "table": subject.table,
        "row": subject.row,
        "detector": subject.detector,
        "classes": classes,
        "weights": str(weights) if weights else None,
        **found.record(),
    }


def _sheet(found: list[tuple[Subject, Latency]], settings: Settings) -> Sheet:
    rows: list[tuple[Any, ...]] = []
    breaks = []
    for subject, latency in found:
        breaks.append(len(rows))
        for step, timing in latency.steps.items():
            name, count = STEPS[step], len(timing.samples_ms)
            times = (number(timing.median_ms), number(timing.p95_ms))
            rows.append((subject.table, subject.row, name, *times, count))
    heads = columns(
        table="Table", row="Row", step="Step", median_ms=">median ms", p95_ms=">P95 ms", n=">n"
    )
    title = "Latency at {}x{}".format(*settings.input) + f", batch {settings.batch}"
    sheet = plain(heads, rows, _notes(found, settings), title)
    return replace(sheet, breaks=frozenset(breaks[1:]))


def _notes(found: list[tuple[Subject, Latency]], settings: Settings) -> list[str]:
    machine = found[0][1].machine
    layout = "channels-last" if settings.channels_last else "channels-first"
    notes = [
        f"{machine['device']}, {machine['threads']} CPU threads, torch {machine['torch']}; "
        f"{settings.precision}, {layout}. ms per batch of {settings.batch}, n passes after "
        f"{settings.warmup} to warm up. Decoding an image file is not timed."
    ]
    if settings.pairs is not None:
        notes.append(
            f"Not trained: the score threshold lets {settings.pairs} candidates per image through."
        )
    return notes
