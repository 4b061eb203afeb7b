"""``detbench compare``: is the difference between two detectors real?"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from detbench.cli import common, single
from detbench.cli.common import argument, option, switch
from detbench.cli.progress_lines import progress_lines
from detbench.errors import RecipeError
from detbench.evaluation.bootstrap import FEWEST, Difference, difference
from detbench.evaluation.detections import GroundTruth
from detbench.evaluation.metric import by_kind, of_masks, parse
from detbench.recipe.experiment import Evaluation
from detbench.report import comparands, comparison
from detbench.report.comparands import Comparand, ground_truth, matches, protocol
from detbench.report.formats import FORMATS
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner.plan import Request

EXAMPLES = (
    "detbench compare 'tscode-table1:FCOS' 'tscode-table1:FCOS + SCE' --profile smoke",
    "detbench compare old.bbox.json new.bbox.json --annotations instances_val2017.json",
    "detbench compare a0.json,a1.json b0.json,b1.json --annotations val.json --metrics AP,APs",
    "detbench compare 4fa533da 2575d732 --by-class --format markdown",
    "detbench compare main.json branch.json --annotations val.json --margin 0.5",
)


def command(
    a: Annotated[
        str,
        argument(
            "A",
            "TABLE:ROW, as in 'tscode-table1:FCOS'; a COCO results file (.json or .json.gz), "
            "several seeds by commas; or the beginning of a stored cell's digest.",
        ),
    ],
    b: Annotated[str, argument("B", "Likewise.")],
    annotations: Annotated[
        Path | None, option("FILE", "COCO annotations that two results files are scored against.")
    ] = None,
    metrics: Annotated[
        str,
        option(
            "NAME,NAME",
            "AP, AP50 to AP95, APs, APm, APl, AR, ARs, ARm, ARl, and APs50 to APl95, of one size "
            "at one IoU; of one class as AP[person].",
        ),
    ] = "AP,AP50,AP75",
    by_class: Annotated[
        bool, switch("--by-class", "The first of --metrics for each class too.")
    ] = False,
    margin: Annotated[
        float | None,
        option("POINTS", "Exit 1 unless B is shown to be no more than this many points below A."),
    ] = None,
    replicates: Annotated[
        int, option("N", "Bootstrap replicates; with 200 an interval is a little too narrow.")
    ] = 1000,
    profile: common.ProfileOption = None,
    seeds: common.SeedsOption = "0",
    set_: common.SetOption = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Compare two detectors on the same images: B − A, its 95 % interval, and whether it is real.

    Needs detections only, trains nothing. The interval resamples the images, the same for both;
    with several seeds it covers their spread too. With --margin M the exit code is 0 if, in every
    one of --metrics (classes of --by-class aside), the lower end of the interval is at or above −M,
    and 1 if it is below: B is worse by more than M, or the images are too few to rule it out. Two
    names of one cell get a line that says so.
    """
    wanted = _wanted(metrics, replicates, margin)
    root, numbers = common.data_root(data_root), common.parse_seeds(seeds)
    request = common.request("", profile, root, numbers, set_, dataset=dataset)
    pair = _comparands((a, b), request, common.results_root(results))
    names = comparands.names(*pair)
    if said := comparands.same(*pair):
        _say_same(*names, said, margin, format)
        return
    masks = any(map(of_masks, wanted))
    ground, evaluation, source = _ground_truth(pair, annotations, request, masks)
    found, images, classes = _differences(pair, ground, evaluation, wanted, by_class, replicates)
    compared = comparison.Comparison(*names, found, classes, images, source, margin)
    common.emit(comparison.sheet(compared), format, comparison.payload(compared))
    if compared.breaches:
        common.say(f"detbench: {comparison.margin_sentence(compared)}")
        raise typer.Exit(1)


def _say_same(a: str, b: str, said: str, margin: float | None, format: common.FormatName) -> None:
    """Print that two names are one cell's: a line, or what scripts read."""
    sheet, payload = comparison.of_one_cell(a, b, said, margin)
    if FORMATS[format].notes and not FORMATS[format].payload:
        common.write(f"{said}\n")
    else:
        common.emit(sheet, format, payload)


def _wanted(metrics: str, replicates: int, margin: float | None) -> list[str]:
    """The metrics by name, once each; a class's name may hold a comma."""
    found = [one.strip() for one in re.findall(r"(?:\[[^\]]*\]|[^,])+", metrics)]
    if not found:
        raise RecipeError("--metrics: name at least one, as in AP,AP50")
    for one in found:
        parse(one.partition("[")[0])
    if replicates < FEWEST:
        raise RecipeError(f"--replicates {replicates}: a 95 % interval takes at least {FEWEST}")
    if margin is not None and not (math.isfinite(margin) and 0 <= margin <= 100):
        raise RecipeError(f"--margin {margin:g}: give points of AP from 0 to 100, as in 0.5")
    return list(dict.fromkeys(found))


def _comparands(
    names: tuple[str, str], request: Request, root: Path
) -> tuple[Comparand, Comparand]:
    told: set[str] = set()
    store = Store(root)

    def read(table: str) -> TableResults:
        found = TableResults.of(replace(request, table=table), store)
        if found.plan.said and found.plan.said not in told:
            told.add(found.plan.said)
            common.say(found.plan.said)
        return found

    return comparands.find(names[0], store, read), comparands.find(names[1], store, read)


def _ground_truth(
    pair: tuple[Comparand, Comparand], annotations: Path | None, request: Request, masks: bool
) -> tuple[GroundTruth, Evaluation, str]:
    """What both are scored against, how, and what to call it."""
    root, profile, dataset = request.data_root, request.profile, request.dataset
    shared = protocol(*pair)
    if shared is not None:
        data, evaluation = shared
        return ground_truth(shared, annotations, None, root, masks), evaluation, data.label()
    data, evaluation = single.settings(profile, dataset, request.overrides)
    named = data if profile or dataset else None
    if annotations is None and named is not None:
        single.require_data(named, root)
    source = str(annotations) if annotations else data.label()
    return ground_truth(None, annotations, named, root, masks), evaluation, source


def _differences(
    pair: tuple[Comparand, Comparand],
    ground: GroundTruth,
    evaluation: Evaluation,
    metrics: list[str],
    by_class: bool,
    replicates: int,
) -> tuple[dict[str, Difference], int, int]:
    """Metric -> difference, how many images, and how many of the metrics are of ``by_class``."""
    with progress_lines("comparing") as tell:
        sides = {
            masks: (
                matches(pair[0], ground, evaluation, masks),
                matches(pair[1], ground, evaluation, masks),
            )
            for masks, _ in by_kind(metrics)
        }
        a, _ = sides[of_masks(metrics[0])]
        classes = [f"{metrics[0].partition('[')[0]}[{name}]" for name in a[0].names]
        wanted = [*metrics, *(one for one in classes if one not in metrics and by_class)]
        found: dict[str, Difference] = {}
        for masks, names in by_kind(wanted):
            a, b = sides[masks]
            found |= difference(a, b, names, replicates, progress=tell)
        found = {name: found[name] for name in wanted}
    return found, len(a[0].image_ids), len(wanted) - len(metrics)
