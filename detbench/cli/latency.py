"""``detbench latency``: how long a detector takes per batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common
from detbench.cli.common import argument, option, path_option
from detbench.errors import RecipeError
from detbench.report.table import Sheet, columns, number, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from detbench.cli.timeable import Timeable
    from detbench.measure.latency import Latency, Settings
    from detbench.results.store import Store
    from detbench.runner.latency import LatencyCell, Timed
    from detbench.runner.plan import Request

EXAMPLES = (
    "detbench latency fcos-r50 --input 640x480",
    "detbench latency fcos-r50 retinanet-r50 --device cuda --precision fp16 --iterations 200",
    "detbench latency tscode-table1 --no-nms --format markdown",
    "detbench latency ddod-table3:ATSS 'ddod-table3:ATSS + DDOD' --profile smoke --iterations 200",
    "detbench latency gfl-r50 --weights gfl_r50_fpn_1x_coco.pth --format json",
)
PAIRS = 1000
"""(candidate, class) pairs that post-processing gets where no trained weights say which."""


@dataclass(frozen=True)
class Made:
    """What was measured of one, and the cell that it is stored as."""

    subject: Timeable
    cell: LatencyCell
    latency: Latency


def command(
    names: Annotated[
        list[str],
        argument(
            "DETECTOR|TABLE|ROW",
            "Ids of detectors and tables, rows as in tscode-table1:FCOS, or files of your own.",
            complete=common.complete_any,
        ),
    ],
    profile: Annotated[
        str | None,
        option(
            "NAME",
            "Time the networks that this profile trains for the rows, with their stored weights "
            "where there are some; by default the detectors of paper size.",
            complete=common.complete_profiles,
        ),
    ] = None,
    input: Annotated[
        str | None,
        option(
            "WxH", "Size of the network's input; by default 1280x800, of a profile as it is tested."
        ),
    ] = None,
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
        path_option(
            "FILE", "Trained weights of one detector, which decide how much NMS has to do."
        ),
    ] = None,
    classes: Annotated[
        int | None,
        option("N", "Without background; by default 80, of a profile its data's.", min=1),
    ] = None,
    set_: common.SetOption = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Measure latency: pre-processing, model and post-processing apart, with and without NMS.

    The clock is read when the device is idle. Reading and decoding an image file is not timed.
    Without trained weights the score threshold is placed so that
    post-processing gets 1000 candidates per image. The proposals of a two-stage detector are part
    of its model. What is measured is stored, with the machine and, where the driver tells them,
    clocks, power cap, temperature and reasons of throttling: detbench report and detbench analyze
    speed show it. The same on the same machine is replaced. json keeps every sample.
    """
    size = None if input is None else common.parse_input(input)
    if profile is None and (set_ or dataset):
        raise RecipeError("--set and --dataset are of a profile's networks: name it by --profile")
    if profile is not None and (weights or classes):
        raise RecipeError("--weights and --classes are of detectors of paper size, not a profile's")
    from detbench.cli import timeable
    from detbench.results.store import Store

    store = Store(common.results_root(results))
    if profile is None:
        chosen = timeable.of_catalogue(names, size, classes, weights)
    else:
        root = common.data_root(data_root)
        asked = common.request("", profile, root, [0], set_, dataset=dataset)
        chosen = timeable.of_profile(names, asked, store, size)

    from detbench.measure.device import resolve
    from detbench.measure.latency import Settings

    where = resolve(device)
    settings = Settings((0, 0), batch, iterations, warmup, precision, channels_last)
    known: dict[str, Made] = {}
    found = [_measure(one, settings, where, nms, store, known) for one in chosen]
    common.emit(_sheet(found), format, [_payload(one) for one in found])


def time_missing(names: Sequence[str], asked: Request, store: Store, device: str) -> None:
    """Time the networks of some rows, those that this machine has timed aside."""
    from detbench.cli import timeable
    from detbench.measure.device import resolve
    from detbench.measure.latency import Settings
    from detbench.recipe.digest import digest

    where = resolve(device)
    for one in timeable.of_profile(names, asked, store, None):
        settings = _settings(Settings((0, 0)), one)
        if store.status(digest(_cell(one, settings, where, None))) != "done":
            _measure(one, Settings((0, 0)), where, None, store, {})


def _settings(given: Settings, subject: Timeable) -> Settings:
    """The settings for one: its input, and candidates where nothing says which score."""
    pairs = None if subject.weights else PAIRS
    return replace(given, input=subject.input, pairs=pairs)


def _measure(
    subject: Timeable,
    settings: Settings,
    device: torch.device,
    nms: bool | None,
    store: Store,
    known: dict[str, Made],
) -> Made:
    """Time one and store it; the same network is timed once."""
    from detbench.assembly import build_detector
    from detbench.measure import latency
    from detbench.recipe.digest import digest
    from detbench.training.weights import load_file

    settings = _settings(settings, subject)
    cell = _cell(subject, settings, device, nms)
    name = digest(cell)
    if name in known:
        return replace(known[name], subject=subject)
    detector: Any = build_detector(subject.spec, subject.classes)
    if subject.weights is not None:
        load_file(detector, subject.weights, whole=True)
    common.say(
        f"{subject.row}: passes to warm up {settings.warmup}, to measure {settings.iterations}, "
        f"on {device}"
    )
    modes = (True, False) if nms is None else (nms,)
    found = latency.measure(detector, subject.spec.pixels, settings, device, modes)
    made = Made(subject, cell, found)
    if said := _store(made, store, device).busy:
        common.say(f"{subject.row}: {said}: its times are longer than they would be alone")
    known[name] = made
    return made


def _cell(
    subject: Timeable, settings: Settings, device: torch.device, nms: bool | None
) -> LatencyCell:
    from detbench.measure import conditions, machine
    from detbench.runner import processors
    from detbench.runner.latency import LatencyCell, Machine

    said = conditions.now(device)
    about = machine.describe(device)
    where = Machine(
        device=str(about["device"]),
        cpu=machine.cpu_name(),
        cores=processors.usable(),
        threads=int(about["threads"]),
        torch=str(about["torch"]),
        cuda=str(about["cuda"]) if "cuda" in about else None,
        driver=conditions.driver(device),
        power_cap_w=said.get("power_cap_w"),
    )
    words: dict[bool | None, Any] = {None: "both", True: "with", False: "without"}
    return LatencyCell(
        detector=subject.spec,
        num_classes=subject.classes,
        weights=subject.content(),
        input=settings.input,
        batch=settings.batch,
        precision=settings.precision,  # type: ignore[arg-type]
        channels_last=settings.channels_last,
        pairs=settings.pairs,
        suppression=words[nms],
        machine=where,
    )


def _store(made: Made, store: Store, device: torch.device) -> Timed:
    from detbench.runner import latency, provenance
    from detbench.runner.process import now

    subject, found = made.subject, made.latency
    origin = {
        **provenance.describe(device),
        "before": found.before,
        "after": found.after,
        "ended": now(),
        "table": subject.table,
        "row": subject.row,
        "profile": subject.profile,
    }
    steps = {name: timing.summary() for name, timing in found.steps.items()}
    rows = latency.rows(made.cell, steps, found.settings.warmup, origin)
    store.add(rows)
    return latency.timed(rows)


def _payload(made: Made) -> dict[str, Any]:
    """One object of ``--format json``."""
    subject = made.subject
    return {
        "table": subject.table,
        "row": subject.row,
        "profile": subject.profile or None,
        "detector": subject.detector,
        "classes": subject.classes,
        "weights": str(subject.weights) if subject.weights else None,
        "condition": made.cell.words,
        **made.latency.record(),
    }


def _sheet(found: list[Made]) -> Sheet:
    from detbench.runner.latency import STEPS

    rows: list[tuple[Any, ...]] = []
    breaks = []
    for made in found:
        breaks.append(len(rows))
        subject = made.subject
        for step, timing in made.latency.steps.items():
            name, count = STEPS[step], len(timing.samples_ms)
            times = (number(timing.median_ms), number(timing.p95_ms))
            rows.append((subject.table, subject.row, name, *times, count))
    heads = columns(
        table="Table", row="Row", step="Step", median_ms=">median ms", p95_ms=">P95 ms", n=">n"
    )
    sizes = dict.fromkeys("{}x{}".format(*made.cell.input) for made in found)
    title = f"Latency at {', '.join(sizes)}, batch {found[0].cell.batch}" if found else "Latency"
    sheet = plain(heads, rows, _notes(found), title, keys=3)
    return replace(sheet, breaks=frozenset(breaks[1:]))


def _notes(found: list[Made]) -> list[str]:
    if not found:
        return ["No row names a detector."]
    notes = [f"{words}." for words in dict.fromkeys(made.cell.words for made in found)]
    settings = found[0].latency.settings
    notes.append(
        f"ms per batch of {settings.batch}, n passes after {settings.warmup} to warm up. Decoding "
        "an image file is not timed."
    )
    pairs = {made.cell.pairs for made in found} - {None}
    if pairs:
        notes.append(f"Not trained: the score threshold lets {PAIRS} candidates per image through.")
    return notes
