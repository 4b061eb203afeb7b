"""What a store has of a table's rows in analyses: for ``report``, which measures nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial

from detbench.analysis import engine, files, kinds, sheet, subjects, summary
from detbench.analysis.files import Entry, Looked
from detbench.analysis.kind import Kind
from detbench.analysis.subjects import Subject
from detbench.errors import DataError, StoreError
from detbench.report.figures.source import Picture
from detbench.report.results import TableResults
from detbench.report.table import Sheet

log = logging.getLogger("detbench")


@dataclass(frozen=True)
class Shown:
    """One analysis of some of a table's rows: its picture, and the numbers below it."""

    picture: Picture
    sheet: Sheet


def of_table(results: TableResults) -> list[Shown]:
    """Every analysis that is stored of a table's rows, in the order of the kinds.

    Rows that were measured alike, with all the seeds that are asked for, stand side by side, the
    table's first the baseline.
    """
    entries = files.listing(results.store.root)
    rows = [
        subjects.of_row(results.plan, row, results.store)
        for row in results.plan.rows
        if row.train and not row.same
    ]
    table = results.plan.table.id
    found = []
    for request in _requests(entries, rows, results):
        try:
            found.append(_shown(request, table))
        except (DataError, StoreError) as error:
            log.warning("warning: %s: %s is not shown: %s", table, request.kind.name, error)
    return found


def _requests(
    entries: list[Entry], rows: list[list[Subject]], results: TableResults
) -> list[engine.Request]:
    """The analyses that can be shown, each once."""
    alike: dict[str, Entry] = {}
    names = {one.identity for row in rows for one in row}
    for one in entries:
        if one.kind in kinds.KINDS and one.facts["subject"] in names:
            own = ("subject", "source")
            how = {name: fact for name, fact in one.facts.items() if name not in own}
            alike.setdefault(repr(sorted(how.items(), key=lambda pair: pair[0])), one)
    found = []
    for one in sorted(alike.values(), key=lambda one: list(kinds.KINDS).index(one.kind)):
        request = _request(kinds.kind(one.kind), one, rows, results)
        found += [request] if request is not None else []
    return found


def _request(
    kind: Kind, one: Entry, rows: list[list[Subject]], results: TableResults
) -> engine.Request | None:
    """One analysis with the rows that are measured whole; none of an older revision."""
    looked = Looked(one.facts["images"], one.facts["image_seed"] or 0)
    asked = engine.Request(
        *(kind, (), one.facts["settings"], looked, results.store, results.plan.truths)
    )
    whole = [tuple(row) for row in rows if all(asked.entry(each).path.is_file() for each in row)]
    if not whole or one.facts["revision"] != kind.revision:
        return None
    return replace(asked, rows=tuple(whole))


def _shown(request: engine.Request, table: str) -> Shown:
    kind = request.kind
    analysis = engine.run(request)
    numbers = summary.of_kind(kind, analysis)
    title = f"{table}: {kind.title}"
    name = f"{table}-{kind.name}"
    draw = partial(kind.draw, analysis, numbers, (title, analysis.note))
    picture = Picture(name, title, draw, kind.photographs)
    return Shown(picture, sheet.sheet(kind, analysis, numbers, title))
