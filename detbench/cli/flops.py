"""``detbench flops``: GFLOPs and parameters, beside the published figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common
from detbench.cli.common import argument, switch
from detbench.report.table import Column, Entry, Sheet, columns, number, plain

if TYPE_CHECKING:
    from detbench.measure.catalogue import Cost

EXAMPLES = (
    "detbench flops",
    "detbench flops fcos-r50 tscode-table1 --by-part",
    "detbench flops --input 1333x800 --format json",
    "detbench flops gfl-r50 --protocol fvcore",
)

MAIN_PARTS = ("backbone", "neck", "cls", "loc")


def command(
    names: Annotated[
        list[str] | None,
        argument(
            "DETECTOR|TABLE",
            "Ids of detectors and tables, or files of your own; by default everything.",
            complete=common.complete_any,
        ),
    ] = None,
    input: common.InputOption = "1280x800",
    protocol: Annotated[
        Literal["mmdet", "fvcore"],
        typer.Option(
            help="mmdet counts as the papers did; fvcore also counts what those left out."
        ),
    ] = "mmdet",
    by_part: Annotated[
        bool, switch("--by-part", "Also GFLOPs of backbone, neck and each task's head.")
    ] = False,
    format: common.FormatOption = "terminal",
) -> None:
    """Count GFLOPs and parameters of detectors and tables, beside the published figures.

    Nothing large is computed. One image, not padded, 80 classes, without post-processing. A
    published figure is shown where input and counter agree with it. Operators that were not
    counted are listed.
    """
    size = common.parse_input(input)
    from detbench.measure import catalogue

    found = catalogue.costs(catalogue.subjects(names or []), size, protocol)
    shown = "{}x{}".format(*size)
    sheet = _sheet(found, shown, protocol, by_part)
    common.emit(sheet, format, [_payload(cost, shown, protocol) for cost in found])


def _payload(cost: Cost, input: str, protocol: str) -> dict[str, Any]:
    """One object of ``--format json``; what is not known or not comparable is null."""
    subject, count = cost.subject, cost.count
    return {
        "table": subject.table,
        "row": subject.row,
        "detector": subject.detector,
        "input": input,
        "protocol": protocol,
        "gflops": count.gflops if count else None,
        "params_m": cost.params_m,
        "total_params_m": cost.total_params_m,
        "published_gflops": cost.published.get("gflops"),
        "published_params_m": cost.published.get("params_m"),
        "remarks": {key: subject.remarks[key] for key in cost.published if key in subject.remarks},
        "cited": subject.cited or None,
        "by_part": dict(count.by_part) if count else None,
        "uncounted": dict(count.uncounted) if count else None,
    }


def _sheet(found: Sequence[Cost], input: str, protocol: str, by_part: bool) -> Sheet:
    parts = _parts(found) if by_part else []
    figures = {"gflops": "GFLOPs", "params_m": "Params (M)"}
    heads = (
        *columns(table="Table", row="Row", detector="Detector"),
        *(Column(key, title, "measured", right=True) for key, title in figures.items()),
        *(Column(f"published_{k}", title, "published", True) for k, title in figures.items()),
        *(Column(f"gflops_{n.replace(' ', '_')}", n, "GFLOPs of", right=True) for n in parts),
    )
    tables = [cost.subject.table for cost in found]
    sheet = plain(
        heads,
        [_entries(cost, parts) for cost in found],
        _notes(found, protocol),
        f"GFLOPs at {input}, counted as {protocol} does",
        keys=2,
    )
    starts = {i for i in range(1, len(found)) if tables[i] != tables[i - 1]}
    return replace(sheet, breaks=frozenset(starts))


def _parts(found: Sequence[Cost]) -> list[str]:
    """Parts that any detector has, the usual ones first."""
    names = {name for cost in found if cost.count for name in cost.count.by_part}
    return [*(n for n in MAIN_PARTS if n in names), *sorted(names - set(MAIN_PARTS))]


def _entries(cost: Cost, parts: Sequence[str]) -> tuple[str | Entry | None, ...]:
    subject, count = cost.subject, cost.count
    reason = None if count else subject.cited or "names no detector"
    return (
        subject.table,
        subject.row,
        subject.detector,
        number(count.gflops if count else None, 2, reason),
        number(cost.params_m, 2, reason),
        *(
            number(cost.published.get(key), 2, subject.remarks.get(key))
            for key in ("gflops", "params_m")
        ),
        *(number(count.by_part.get(part) if count else None) for part in parts),
    )


def _notes(found: Sequence[Cost], protocol: str) -> list[str]:
    operators = {name for cost in found if cost.count for name in cost.count.uncounted}
    listed = ", ".join(sorted(operators)) or "nothing"
    return [
        "Trainable parameters. One image, 80 classes, without post-processing.",
        f"Not counted by {protocol}: {listed} (calls per detector: --format json).",
    ]
