"""GFLOPs and parameters of the catalogue's detectors and tables, beside the published figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.recipe.detector import Detector
from detbench.recipe.digest import digest
from detbench.recipe.resolve import paper_detector
from detbench.recipe.table import Table
from detbench.recipe.validate import suggest

if TYPE_CHECKING:
    from detbench.measure.flops import Count, CountProtocol

CLASSES = 80
"""Of the detectors whose figures are published (COCO)."""

PUBLISHED_INPUT = "1280x800"
"""Input of the GFLOPs that detector recipes cite."""


@dataclass(frozen=True)
class Subject:
    """One thing to count: a row of a table, or a detector by itself.

    Attributes:
        table: id; none for a detector by itself.
        row: label of the row, or id of the detector.
        detector: id; none for a row that names none.
        spec: at paper size; none for a row that names no detector.
        published: printed figures, ``gflops`` counted the papers' way at ``published_input``.
        remarks: metric key -> why a printed figure is not believed or not met.
        cited: why the row is only cited; else empty.
    """

    table: str | None
    row: str
    detector: str | None
    spec: Detector | None
    published: Mapping[str, float] = field(default_factory=dict)
    published_input: str = PUBLISHED_INPUT
    remarks: Mapping[str, str] = field(default_factory=dict)
    cited: str = ""


@dataclass(frozen=True)
class Cost:
    """What a subject costs.

    Attributes:
        count: none where there is no detector to count.
        params_m, total_params_m: trainable parameters, and all, in millions.
        published: the printed figures that are comparable with these, by metric key.
    """

    subject: Subject
    count: Count | None
    params_m: float | None
    total_params_m: float | None
    published: Mapping[str, float]


def subjects(names: Sequence[str]) -> list[Subject]:
    """The subjects of detectors, tables and rows (``TABLE:ROW``), in the order given.

    Args:
        names: ids or paths; none is the whole catalogue.

    Raises:
        RecipeError: an unknown name, or a recipe with mistakes; all of them.
    """
    found: list[Subject] = []
    mistakes: list[str] = []
    for name in names or (*load.detectors(), *load.tables()):
        try:
            found += _named(name)
        except RecipeError as error:
            mistakes += error.mistakes
    if mistakes:
        raise RecipeError(list(dict.fromkeys(mistakes)))
    return found


def _named(name: str) -> list[Subject]:
    table, colon, label = name.partition(":")
    if not colon:
        whole = load.table_or_detector(name) == "table"
        return _rows(load.table(name)) if whole else [_alone(name)]
    rows = _rows(load.table(table))
    found = [one for one in rows if one.row.lower() == label.strip().lower()]
    if not found:
        known = [one.row for one in rows]
        said = f"{suggest(label, known)} (rows: {', '.join(known)})"
        raise RecipeError(f"'{name}': {rows[0].table} has no such row{said}")
    return found


def _alone(name: str) -> Subject:
    recipe = load.detector(name)
    return Subject(None, recipe.id, recipe.id, recipe.detector, recipe.published)


def _rows(table: Table) -> list[Subject]:
    return [
        Subject(
            table=table.id,
            row=row.label,
            detector=row.detector,
            spec=paper_detector(row),
            published=row.published,
            published_input=table.input,
            remarks={**row.unmatched, **row.misprints},
            cited=row.cited or "",
        )
        for row in table.rows
    ]


def costs(wanted: Iterable[Subject], input: tuple[int, int], protocol: CountProtocol) -> list[Cost]:
    """Count every subject; equal detectors are counted once.

    Raises:
        RecipeError: a detector cannot be built, or the input does not suit it.
    """
    known: dict[str, tuple[Count, float, float]] = {}
    found = []
    for subject in wanted:
        if subject.spec is None:
            found.append(Cost(subject, None, None, None, subject.published))
            continue
        key = digest(subject.spec)
        if key not in known:
            known[key] = _count(subject, subject.spec, input, protocol)
        count, trainable, total = known[key]
        comparable = count.protocol == "mmdet" and "{}x{}".format(*input) == subject.published_input
        published = {
            key: value
            for key, value in subject.published.items()
            if key == "params_m" or (key == "gflops" and comparable)
        }
        found.append(Cost(subject, count, trainable, total, published))
    return found


def _count(
    subject: Subject, spec: Detector, input: tuple[int, int], protocol: CountProtocol
) -> tuple[Count, float, float]:
    from detbench.assembly import build_detector
    from detbench.measure import flops, meta, parameters

    try:
        with meta.device():
            detector = build_detector(spec, CLASSES)
        count = flops.count(detector, input, protocol)
    except RecipeError as error:
        where = f"{subject.table}, row '{subject.row}'" if subject.table else subject.row
        raise RecipeError([f"{where}: {mistake}" for mistake in error.mistakes]) from error
    return count, parameters.millions(detector), parameters.millions(detector, trainable=False)
