"""``detbench list``: the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from detbench.cli import common, estimate
from detbench.cli.common import argument
from detbench.report.table import Column, Entry, Sheet, columns, number, plain, text
from detbench.results.store import Store

EXAMPLES = (
    "detbench list",
    "detbench list detectors",
    "detbench list datasets --data-root /data",
    "detbench list analyses",
    "detbench list figures",
    "detbench list tables --format json",
)


def command(
    what: Annotated[
        Literal["tables", "detectors", "datasets", "analyses", "figures"],
        argument("[tables|detectors|datasets|analyses|figures]", "What to list."),
    ] = "tables",
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """List tables with what is measured so far, detectors, data sets, analyses, or figures."""
    if what == "tables":
        sheet, payload = _tables(common.results_root(results))
    elif what == "detectors":
        sheet, payload = _detectors()
    elif what == "analyses":
        sheet, payload = _analyses()
    elif what == "figures":
        sheet, payload = _figures()
    else:
        sheet, payload = _datasets(common.data_root(data_root))
    common.emit(sheet, format, payload)


def _tables(results: Path) -> tuple[Sheet, Any]:
    from detbench.recipe import catalogue, load

    done = Store(results).done()
    below = {one: found for one in estimate.below(results) if (found := Store(one).done())}
    cached = results / "work" / "catalogue.json"
    known = catalogue.digests(cached) if done or below else {}
    rows, payload = [], []
    for table in map(load.table, load.tables()):
        counts = {
            profile: count
            for profile, digests in known.get(table.id, {}).items()
            if (count := len(done.intersection(digests)))
        }
        listed = ", ".join(f"{profile} {count}" for profile, count in counts.items())
        one = {
            "id": table.id,
            "paper": table.paper,
            "title": table.title,
            "rows": len(table.rows),
            "runnable": sum(row.cited is None for row in table.rows),
        }
        rows.append([*one.values(), Entry(listed or "-", listed or None)])
        payload.append({**one, "measured": counts})
    heads = columns(
        id="Table",
        paper="Paper",
        title="Title",
        rows=">Rows",
        runnable=">Run here",
        measured="Measured",
    )
    note = f"Measured: cells per profile with seed 0 in {results}; rows may share one."
    return plain(heads, rows, [note, *_elsewhere(below, known)]), payload


def _elsewhere(
    stores: Mapping[Path, set[str]], known: Mapping[str, Mapping[str, Collection[str]]]
) -> list[str]:
    """A sentence for each further store: of which tables it has trainings, and how to read it."""
    said = []
    for path, done in stores.items():
        tables = [
            f"{table} ({', '.join(f'{name} {count}' for name, count in counts.items())})"
            for table, profiles in known.items()
            if (counts := {n: c for n, ds in profiles.items() if (c := len(done.intersection(ds)))})
        ]
        what = ", ".join(tables) or "costs and trainings of none of these tables"
        said.append(f"Stored too, {len(done)} cells: {what}: read them with --results {path}.")
    return said


def _detectors() -> tuple[Sheet, Any]:
    from detbench.recipe import load

    found = [load.detector(name) for name in load.detectors()]
    digits = {"AP": 1, "gflops": 2, "params_m": 2}
    rows = [
        (
            one.id,
            one.title,
            *(number(one.published.get(key), count) for key, count in digits.items()),
            one.fidelity,
        )
        for one in found
    ]
    titles = {"AP": "AP", "gflops": "GFLOPs", "params_m": "Params (M)"}
    heads = (
        *columns(id="Detector", title="Title"),
        *(Column(key, title, "published", right=True) for key, title in titles.items()),
        Column("fidelity", "Fidelity"),
    )
    payload = [
        {
            "id": one.id,
            "title": one.title,
            "source": one.source,
            "published": one.published,
            "fidelity": one.fidelity,
            "notes": list(one.notes),
        }
        for one in found
    ]
    note = "Published: COCO val2017; GFLOPs at 1280x800; trainable parameters."
    return plain(heads, rows, [note]), payload


def _datasets(root: Path) -> tuple[Sheet, Any]:
    from detbench.data.kinds import named

    payload = []
    for name, data in named().items():
        why = data.why_missing(root)
        payload.append({"id": name, "title": data.what, "found": why is None, "why": why or ""})
    rows = [
        (one["id"], one["title"], text("yes" if one["found"] else "no", str(one["why"])))
        for one in payload
    ]
    note = "Any other in COCO's JSON: --dataset coco:ANNOTATIONS.json:IMAGES_DIR"
    return plain(columns(id="Data set", title="What", found="Found"), rows, [note]), payload


def _analyses() -> tuple[Sheet, Any]:
    from detbench.analysis import kinds

    rows, payload = [], []
    for name, what in kinds.KINDS.items():
        one = kinds.kind(name)
        settings = [
            {"name": each.name, "default": each.default, "low": each.low, "high": each.high}
            for each in one.settings
        ]
        told = "; ".join(f"{each.name} {each.default:g}: {each.help}" for each in one.settings)
        rows.append((name, what, one.figures, one.needs, told or None))
        more = {"needs": one.needs, "images": one.images, "settings": settings}
        payload.append({"id": name, "what": what, "figures": one.figures, **more})
    heads = columns(
        id="Analysis", what="What", figures="Figures", needs="Measured from", settings="Settings"
    )
    note = "detbench analyze ANALYSIS ROW...; a setting by --option NAME=NUMBER."
    return plain(heads, rows, [note]), payload


def _figures() -> tuple[Sheet, Any]:
    from detbench.recipe import figures

    rows, payload = [], []
    for one in figures.figures().values():
        kinds = ", ".join(each.kind for each in one.analyses)
        how = kinds or (f"a table: {one.table}" if one.table else f"a drawing: {one.drawing}")
        rows.append((one.id, one.title, how, None if one.drawing else f"detbench run {one.id}"))
        payload.append({**one.model_dump(mode="json"), "runs": not one.drawing})
    heads = columns(id="Figure", title="Title", how="Made by", run="Run")
    note = "Every figure of the five papers; a drawing has nothing to measure."
    return plain(heads, rows, [note]), payload
