"""``detbench train``: one detector, trained and evaluated, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detbench.cli import common, single
from detbench.cli.common import path_option
from detbench.report.scores import sheet

EXAMPLES = (
    "detbench train fcos-r50 --profile smoke",
    "detbench train atss-r50 --profile paper --data-root /data --weights default --device cuda",
    "detbench train gfl-r50 --dataset coco:train.json:images:val.json:images --out my-run",
    "detbench train my-detector.toml --seed 1 --set training.precision=bf16",
    "detbench train fcos-r50 --profile smoke --set 'training.validation={every=100, "
    'unit="iterations"}\'',
    "torchrun --nproc-per-node 2 -m detbench train fcos-r50 --profile paper --data-root /data",
)


def command(
    detector: common.DetectorArgument,
    profile: common.ProfileOption = None,
    dataset: common.DatasetOption = None,
    set_: common.SetOption = None,
    device: common.DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Of weights, order and flips.", min=0)] = 0,
    weights: common.WeightsOption = None,
    allow_partial: common.AllowPartialOption = False,
    out: Annotated[
        Path | None,
        path_option(
            "DIR",
            "Folder of checkpoint, weights, loss curve and detections; by default "
            "runs/DETECTOR-PROFILE-SEED.",
        ),
    ] = None,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Train DETECTOR, evaluate it and print its AP.

    An interrupted run goes on where it stopped, with the same command: Ctrl-C saves first. The
    folder then has weights.pt, curve.jsonl (the losses of each iteration, and the scores of each
    validation), first.json (what the first one says), checkpoint.pt and detections.json.gz (COCO
    results). Nothing is stored in the results folder: that is for `run`.

    With more iterations or epochs, or another schedule, it goes on from what the folder has, and
    says whether what comes of it is what such a training gives from the start: it is, bit for bit,
    where every learning rate so far is the same.

    The folder is one training's at a time, and files there that are not its own are not replaced.

    Started by torchrun, the processes share each batch, one GPU each: the same losses, sooner.
    """
    common.before_torch()
    root = common.data_root(data_root)
    overrides = [*(set_ or ()), *([f"training.weights={weights}"] if weights is not None else [])]
    asked = common.request(detector, profile, root, [seed], overrides, dataset=dataset)
    cell, chosen = single.choose(asked)
    name = Path(detector).stem if detector.endswith(".toml") else detector
    place = out or Path("runs") / f"{name}-{chosen.id}-{seed}"
    single.log_to_stderr()
    warning = cell.data.seen_in_training
    if warning:
        common.say(f"warning: {warning}")

    from detbench.evaluation import results
    from detbench.evaluation.run import score, scorer
    from detbench.evaluation.scoring import sentence
    from detbench.measure.device import resolve
    from detbench.training import checkpoint, distributed, extension, folder, loop, memory, stop
    from detbench.training.host import Host
    from detbench.training.weights import save

    where = distributed.device(resolve(device))
    with (
        stop.on_signals() as check,
        single.shown(name) as show,
        distributed.joined(where) as team,
        memory.advised(),
        folder.held(place, team),
    ):
        host = Host(root, where, single.both(show, check), team)
        trained = loop.train(cell, place, host, allow_partial, scorer(cell, host), extend=True)
        if team.first:
            extended = extension.of(checkpoint.load(place / loop.CHECKPOINT))
            save(place / folder.WEIGHTS, trained, extended)
        found = score(trained, cell, host)
    if not team.first:
        return
    results.write(place / folder.DETECTIONS, found.detections)
    common.say(f"{place}: weights.pt, curve.jsonl, detections.json.gz")
    said = single.protocol(cell.data.label(), found.images, cell.evaluation, "detbench")
    said += f" Not a test: {warning}." if warning else ""
    said += f" {cell.training.caveat}." if cell.training.caveat else ""
    said += f" This training was {extension.said(extended)}." if extended else ""
    common.emit(sheet(name, found.metrics, said, note=sentence(cell.data)), format)
