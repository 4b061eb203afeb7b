"""``detbench compare``: is the difference between two detectors real?"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from detbench.cli import common, single
from detbench.cli.common import argument, option, path_option, switch
from detbench.cli.progress_lines import progress_lines
from detbench.errors import RecipeError
from detbench.evaluation.detections import GroundTruth
from detbench.evaluation.metric import by_kind, of_masks, parse
from detbench.recipe.experiment import Data, Evaluation
from detbench.report import comparands, comparison, conditions, effects, signature
from detbench.report.comparands import Comparand, ground_truth, matches, protocol
from detbench.report.formats import FORMATS
from detbench.report.judgement import Terms
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner.plan import Request
from detbench.statistics import corrections, randomisation
from detbench.statistics.bootstrap import Difference, between
from detbench.statistics.estimate import Rule
from detbench.statistics.looks import look as planned_look
from detbench.statistics.replicates import OTHERS, Resampling
from detbench.statistics.small import FEWEST

EXAMPLES = (
    "detbench compare 'tscode-table1:FCOS' 'tscode-table1:FCOS + SCE' --profile smoke",
    "detbench compare old.bbox.json new.bbox.json --annotations instances_val2017.json",
    "detbench compare a0.json,a1.json b0.json,b1.json --annotations val.json --metrics AP,APs",
    "detbench compare 4fa533da 2575d732 --by-class --format markdown",
    "detbench compare main.json branch.json --annotations val.json --margin 0.5",
    "detbench compare a0.json,a1.json b0.json,b1.json --annotations val.json --equivalent 0.3",
    "detbench compare tscode-table1 --factor SCE --seeds 0,1,2 --profile smoke",
)


def command(
    a: Annotated[
        str,
        argument(
            "A",
            "TABLE:ROW, as in 'tscode-table1:FCOS'; a COCO results file (.json or .json.gz), "
            "several seeds by commas; or the beginning of a stored cell's digest. With --factor a "
            "table.",
        ),
    ],
    b: Annotated[str | None, argument("[B]", "Likewise; not with --factor.")] = None,
    annotations: Annotated[
        Path | None,
        path_option("FILE", "COCO annotations that two results files are scored against."),
    ] = None,
    metrics: Annotated[
        str,
        option(
            "NAME,NAME",
            "AP, AP50 to AP95, APs, APm, APl, AR, ARs, ARm, ARl, and APs50 to APl95, of one size "
            "at one IoU; maskAP and so on of masks; of one class as AP[person]; VOC07, VOC.",
        ),
    ] = "AP,AP50,AP75",
    by_class: Annotated[
        bool, switch("--by-class", "The first of --metrics for each class too.")
    ] = False,
    factor: Annotated[
        str | None,
        option(
            "SETTING",
            "Of a table: all pairs of rows that differ in this descriptive column alone, pooled, "
            "and how the effect changes with the other columns.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        option("POINTS", "Exit 1 unless B is shown to be no more than this many points below A."),
    ] = None,
    equivalent: Annotated[
        float | None,
        option(
            "POINTS", "Differences below this do not matter: are the two shown to be equivalent?"
        ),
    ] = None,
    swap: Annotated[
        bool,
        switch("--swap", "A second p: the two trainings swap detections image by image."),
    ] = False,
    cluster_by: Annotated[
        str | None,
        option(
            "FIELD", "Field of the images, as video_id: images of one value are drawn together."
        ),
    ] = None,
    replicates: Annotated[int, option("N", "Bootstrap replicates, at least 200.")] = 1000,
    profile: common.ProfileOption = None,
    seeds: common.SeedsOption = "0",
    looks: common.LooksOption = None,
    seed_sd: common.SeedSdOption = None,
    set_: common.SetOption = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Compare two detectors on the same images: B − A, its 95 % interval, and whether it is real.

    Needs detections only, trains nothing. The interval resamples the images, the same for both;
    with several seeds it covers their spread too. With one seed of each it says whether these two
    trainings differ, not whether the methods do. With --margin M the exit code is 0 if, in every
    one of --metrics (classes of --by-class aside), the lower end of the interval is at or above −M,
    and 1 if it is below: B is worse by more than M, or the images are too few to rule it out. Two
    names of one cell get a line that says so.
    """
    asked = Asked(_wanted(metrics, replicates, margin, equivalent), by_class, swap, replicates)
    root, numbers = common.data_root(data_root), common.parse_seeds(seeds)
    terms = common.terms(looks, seed_sd)
    request = common.request("", profile, root, numbers, set_, dataset=dataset)
    store = Store(common.results_root(results))
    if factor is not None or b is None:
        _only_a(b, factor, annotations=annotations, by_class=by_class, swap=swap, margin=margin)
        common.emit(*_pooled(replace(request, table=a), store, factor or "", asked, terms, format))
        return
    pair = _comparands((a, b), request, store)
    names = comparands.names(*pair)
    if said := comparands.same(*pair):
        _say_same(*names, said, margin, format)
        return
    masks = any(map(of_masks, asked.metrics))
    scene = _scene(pair, annotations, request, cluster_by, masks)
    compared = _compared(pair, scene, asked, terms)
    compared = replace(compared, margin=margin, equivalent=equivalent)
    common.emit(comparison.sheet(compared), format, comparison.payload(compared))
    if compared.breaches:
        common.say(f"detbench: {comparison.margin_sentence(compared)}")
        raise typer.Exit(1)


@dataclass(frozen=True)
class Asked:
    """What is asked of a pair.

    Attributes:
        metrics: by name, once each.
        by_class: the first for each class too.
        swap: a second p.
    """

    metrics: list[str]
    by_class: bool
    swap: bool
    replicates: int


@dataclass(frozen=True)
class Scene:
    """What both are scored against.

    Attributes:
        source: what to call it.
        clusters: image id -> cluster; none is each image.
    """

    ground: GroundTruth
    evaluation: Evaluation
    source: str
    clusters: dict[int, Any] | None


def _only_a(b: str | None, factor: str | None, **others: object) -> None:
    """Refuse what does not go with the rows of one table."""
    if factor is None:
        raise RecipeError("give A and B, or a table and --factor, as in --factor SCE")
    if b is not None:
        raise RecipeError(f"--factor {factor} goes with one table: leave '{b}' out")
    for name, value in others.items():
        if value not in (None, False):
            option = name.replace("_", "-")
            raise RecipeError(f"--{option} does not go with --factor: leave one of them out")


def _pooled(
    request: Request,
    store: Store,
    factor: str,
    asked: Asked,
    terms: Terms,
    format: common.FormatName,
) -> tuple[Any, common.FormatName, Any]:
    """A setting's effect over a table's rows: the sheet and what scripts read."""
    found = TableResults.of(replace(request, columns=",".join(asked.metrics)), store, terms)
    if found.plan.said:
        common.say(found.plan.said)
    with progress_lines("resampling") as tell:
        found.compare(tell)
    made = effects.of_factor(found.plan, found.bench, asked.metrics[0], factor, found.rule)
    if made is None or made.reason:
        said = made.reason if made else "no two rows differ in it alone"
        raise RecipeError(f"--factor {factor}: {said}")
    title = f"{found.plan.table.id}: the effect of {factor}"
    sheet = effects.sheet(made, title, comparison.DIGITS)
    signed = f"Signature: {signature.line(found.signature)}"
    sheet = replace(sheet, notes=(*sheet.notes, signed))
    return sheet, format, {**(effects.plain(made) or {}), "signature": found.signature}


def _say_same(a: str, b: str, said: str, margin: float | None, format: common.FormatName) -> None:
    """Print that two names are one cell's: a line, or what scripts read."""
    sheet, payload = comparison.of_one_cell(a, b, said, margin)
    if FORMATS[format].notes and not FORMATS[format].payload:
        common.write_line(said)
    else:
        common.emit(sheet, format, payload)


def _wanted(
    metrics: str, replicates: int, margin: float | None, equivalent: float | None
) -> list[str]:
    """The metrics by name, once each; a class's name may hold a comma."""
    found = [one.strip() for one in re.findall(r"(?:\[[^\]]*\]|[^,])+", metrics)]
    if not found:
        raise RecipeError("--metrics: name at least one, as in AP,AP50")
    for one in found:
        if one not in OTHERS:
            parse(one.partition("[")[0])
    if replicates < FEWEST:
        raise RecipeError(f"--replicates {replicates}: a 95 % interval takes at least {FEWEST}")
    if margin is not None and not (math.isfinite(margin) and 0 <= margin <= 100):
        raise RecipeError(f"--margin {margin:g}: give points of AP from 0 to 100, as in 0.5")
    if equivalent is not None and not 0 < equivalent <= 100:
        raise RecipeError(f"--equivalent {equivalent:g}: give points of AP up to 100, as in 0.3")
    return list(dict.fromkeys(found))


def _comparands(
    names: tuple[str, str], request: Request, store: Store
) -> tuple[Comparand, Comparand]:
    told: set[str] = set()

    def read(table: str) -> TableResults:
        found = TableResults.of(replace(request, table=table), store)
        if found.plan.said and found.plan.said not in told:
            told.add(found.plan.said)
            common.say(found.plan.said)
        return found

    return comparands.find(names[0], store, read), comparands.find(names[1], store, read)


def _scene(
    pair: tuple[Comparand, Comparand],
    annotations: Path | None,
    request: Request,
    cluster_by: str | None,
    masks: bool,
) -> Scene:
    """What both are scored against, how, and what to call it."""
    data, ground, evaluation, source = _ground_truth(pair, annotations, request, masks)
    groups = None
    if cluster_by is not None:
        groups = comparands.clusters(cluster_by, annotations, data, request.data_root)
    return Scene(ground, evaluation, source, groups)


def _ground_truth(
    pair: tuple[Comparand, Comparand], annotations: Path | None, request: Request, masks: bool
) -> tuple[Data | None, GroundTruth, Evaluation, str]:
    root, profile, dataset = request.data_root, request.profile, request.dataset
    shared = protocol(*pair)
    if shared is not None:
        data, evaluation = shared
        return data, ground_truth(shared, annotations, None, root, masks), evaluation, data.label()
    data, evaluation = single.settings(profile, dataset, request.overrides)
    named = data if profile or dataset else None
    if annotations is None and named is not None:
        single.require_data(named, root)
    source = str(annotations) if annotations else data.label()
    return named, ground_truth(None, annotations, named, root, masks), evaluation, source


def _compared(
    pair: tuple[Comparand, Comparand], scene: Scene, asked: Asked, terms: Terms
) -> comparison.Comparison:
    """Every metric's difference, by class too, a second p where it is asked for."""
    names, images = comparands.class_names(scene.ground, scene.evaluation)
    metrics = asked.metrics
    classes = [f"{metrics[0].partition('[')[0]}[{name}]" for name in names]
    classes = [one for one in classes if one not in metrics] if asked.by_class else []
    seeds = [len(one.read) for one in pair]
    look = planned_look(min(seeds), terms.looks)
    sd = None if terms.seed_sd is None else terms.seed_sd / 100
    found = _differences(pair, scene, [*metrics, *classes], asked, Rule(1 - look.alpha, sd))
    known = [one for one in classes if found[one].p is not None]
    q = corrections.benjamini_hochberg([found[one].p or 0.0 for one in known])
    how = f"bootstrap{asked.replicates}-{'images+seeds-t' if max(seeds) > 1 else 'images'}"
    signed = signature.of_files(scene.source, images, scene.evaluation, seeds, how)
    return comparison.Comparison(
        *comparands.names(*pair),
        found=found,
        by_class=len(classes),
        images=images,
        source=scene.source,
        swapped=_swapped(pair, scene, asked) if asked.swap else {},
        q=dict(zip(known, q, strict=True)),
        signature=signed,
        look=look,
        conditions=conditions.differing([*pair[0].stored, *pair[1].stored]),
        caveats=[
            f"{one.name}: {said}"
            for one in pair
            if one.cell is not None
            for said in conditions.caveats([one.cell])
        ],
    )


def _differences(
    pair: tuple[Comparand, Comparand],
    scene: Scene,
    metrics: list[str],
    asked: Asked,
    rule: Rule,
) -> dict[str, Difference]:
    how = Resampling(asked.replicates, 0, scene.clusters)
    with progress_lines("comparing") as tell:
        sides = []
        for number, one in enumerate(pair, 1):
            sides.append(comparands.resampled(one, scene.ground, scene.evaluation, metrics, how))
            tell(number, len(pair))
    first, second = sides
    return between(first, second, metrics, rule)


def _swapped(
    pair: tuple[Comparand, Comparand], scene: Scene, asked: Asked
) -> dict[str, float | None]:
    """A second p of two trainings."""
    if max(len(one.read) for one in pair) > 1:
        raise RecipeError(
            "--swap: detections are swapped between two trainings: give one seed each"
        )
    if other := [one for one in asked.metrics if one in OTHERS]:
        raise RecipeError(f"--swap: of COCO's metrics alone, not of {other[0]}")
    found: dict[str, float | None] = {}
    for masks, names in by_kind(asked.metrics):
        first, second = (matches(one, scene.ground, scene.evaluation, masks)[0] for one in pair)
        found |= randomisation.swapped(first, second, names, asked.replicates, 0, scene.clusters)
    return {name: found[name] for name in asked.metrics}
