"""``detbench analyze``: what the papers' figures ask, of any detectors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.analysis.kinds import KINDS
from detbench.cli import common, single
from detbench.cli.common import argument, option, path_option
from detbench.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detbench.analysis.engine import Request
    from detbench.analysis.files import Looked
    from detbench.analysis.kind import Analysis, Kind
    from detbench.analysis.subjects import Subject
    from detbench.results.store import Store

NAME = 100
"""Letters of a picture's file name."""

EXAMPLES = (
    "detbench analyze alignment tscode-table1:FCOS 'tscode-table1:FCOS + SCE + DPE'",
    "detbench analyze alignment tscode-table1:FCOS --images 200 --format json",
    "detbench analyze alignment faster-rcnn-r50@weights.pt my-table.toml:mine --profile smoke",
)


def command(
    kind: Annotated[
        str,
        argument(
            "KIND",
            f"Which analysis: {', '.join(KINDS)} (detbench list analyses).",
            complete=lambda incomplete: [one for one in KINDS if one.startswith(incomplete)],
        ),
    ],
    rows: Annotated[
        list[str],
        argument(
            "ROW...",
            "Rows that were run, as in tscode-table1:FCOS, the baseline first; or any checkpoint "
            "with its recipe, as in fcos-r50@weights.pt or my-table.toml:mine@weights.pt.",
        ),
    ],
    profile: common.ProfileOption = None,
    seeds: common.SeedsOption = "0",
    set_: common.SetOption = None,
    images: Annotated[
        int | None,
        option("N", "Look at N images, drawn by --image-seed.", min=1),
    ] = None,
    image_seed: Annotated[int, typer.Option(help="Of the draw of images.", min=0)] = 0,
    option_: Annotated[
        list[str] | None,
        option("NAME=NUMBER", "A setting of the kind; repeatable.", name="--option"),
    ] = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    device: common.DeviceOption = "auto",
    plots: Annotated[
        Path | None, path_option("DIR", "Write the picture into this folder too.")
    ] = None,
    plot_format: Annotated[Literal["svg", "png", "pdf"], typer.Option(help="Of --plots.")] = "png",
    format: common.FormatOption = "terminal",
) -> None:
    """Analyse rows side by side, as the papers' figures do, and store what is measured.

    What is stored is not measured again, and an interrupted analysis goes on. Numbers carry 95 %
    intervals over images; the rows after the first are compared with it on the same images.
    detbench report shows analyses with their tables.
    """
    common.before_torch()
    from detbench.analysis import kinds
    from detbench.analysis.files import Looked
    from detbench.results.store import Store

    asked = common.request(
        "", profile, common.data_root(data_root), common.parse_seeds(seeds), set_, dataset=dataset
    )
    of = kinds.kind(kind)
    given = kinds.settings(of, option_ or [])
    if images is not None and of.images == 0:
        raise RecipeError(f"--images: {of.name} looks at no images: leave it out")
    looked = Looked(of.images if images is None else images, image_seed)
    request = requested(of, rows, asked, (given, looked), Store(common.results_root(results)))
    analysis = analysed(request, device, asked.data_root)
    _show(of, analysis, plots, plot_format, format)


def requested(
    of: Kind,
    rows: Sequence[str],
    asked: Any,
    how: tuple[dict[str, float], Looked],
    store: Store,
) -> Request:
    """What is to be measured: the rows, found in the store.

    Args:
        asked: profile, seeds and data, as of ``common.request``.
        how: settings of the kind, and which images.
    """
    from detbench.analysis import engine, subjects
    from detbench.evaluation.truth import Truths

    store = store.snapshot()
    told: set[str] = set()
    found: list[tuple[Subject, ...]] = []
    for name in rows:
        row, said = subjects.find(name, of, asked, store)
        if said and said not in told:
            common.say(said)
        told.add(said)
        found.append(tuple(row))
    named = tuple(engine.named_apart(found))
    return engine.Request(of, named, *how, store, Truths(asked.data_root))


def analysed(request: Request, device: str, root: Path) -> Analysis:
    """The analysis; what is missing of it is measured, and progress told."""
    from dataclasses import replace

    from detbench.analysis import engine

    def opened(subject: Subject) -> Any:
        from detbench.analysis.opened import Opened
        from detbench.measure.device import resolve

        common.say(f"{request.kind.name}: {subject.where}")
        return Opened(subject, root, resolve(device))

    single.require_data(request.rows[0][0].cell.data, root)
    with single.shown(request.kind.name) as report:
        return engine.run(replace(request, open=opened), report)


def _show(of: Kind, analysis: Analysis, plots: Path | None, plot_format: Any, format: str) -> None:
    from detbench.analysis import sheet, summary
    from detbench.report.plots import canvas
    from detbench.results.files import write_atomic

    numbers = summary.of_kind(of, analysis)
    title = f"{of.name}: {', '.join(row.label for row in analysis.rows)}"
    if plots is not None:
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:NAME]
        path = plots / f"{slug}.{plot_format}"
        made = of.draw(analysis, numbers, (title, analysis.note))
        write_atomic(path, canvas.save(made, plot_format, 200))
        common.say(str(path))
    made_sheet = sheet.sheet(of, analysis, numbers, title)
    common.emit(made_sheet, format, sheet.payload(of, analysis, numbers))
