"""A table's sheet: measured beside published, never in one column.

A published number stands in the block of its own. The blocks say on what data each was measured
where that differs, and a difference is printed only where input, counter and protocol agree.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from detbench.recipe.metrics import CITED, COSTS, ERRORS, find
from detbench.report import (
    best,
    conditions,
    effects,
    error_columns,
    latency_sheet,
    other_profiles,
    planning,
    signature,
)
from detbench.report.differences import Change
from detbench.report.intervals import (
    ends,
    explained,
    plain,
    points,
    probability,
    small_p,
    with_interval,
)
from detbench.report.numbers import PERCENT, Number, RowNumbers
from detbench.report.results import TableResults
from detbench.report.table import Column, Entry, Sheet, fixed, number, text
from detbench.runner.plan import Plan


@dataclass(frozen=True)
class Block:
    """Neighbouring columns of one kind.

    Attributes:
        kind: ``measured``; against the baseline ``change`` and ``p``, ``simultaneous`` and
            ``adjusted`` for all rows together; ``published`` or ``delta``.
        group: heading over them.
        metrics: their keys.
        title: of their column; empty is the metric's.
    """

    kind: str
    group: str
    metrics: tuple[str, ...]
    title: str = ""

    def column(self, metric: str) -> Column:
        key = metric if self.kind == "measured" else f"{self.kind}_{metric}"
        return Column(key, self.title or find(metric).title, self.group, right=True)


def sheet(results: TableResults) -> Sheet:
    """The whole table."""
    plan = results.plan
    blocks = _blocks(results)
    columns = (
        Column("row", "Row"),
        *(Column(f"setting_{name}", name) for name in plan.table.labels),
        *(block.column(metric) for block in blocks for metric in block.metrics),
        Column("fidelity", "Fidelity"),
    )
    breaks = {i for i, row in enumerate(plan.rows) if row.row.label in plan.table.breaks}
    return Sheet(
        title=f"{plan.table.id}: {plan.table.title}",
        columns=columns,
        rows=tuple(_entries(results, row, blocks) for row in results.rows),
        notes=tuple(_notes(results)),
        breaks=frozenset(breaks - {0}),
        same=frozenset(index for index, row in enumerate(plan.rows) if row.same),
        leaders=results.leaders,
    )


def marked(results: TableResults) -> Sheet:
    """The table as it is printed: best in bold, other profiles named."""
    made = best.mark(sheet(results))
    other = other_profiles.sentence(results.other_profiles)
    # How many cells are done stays last.
    return replace(made, notes=(*made.notes[:-1], other, *made.notes[-1:])) if other else made


def effects_sheet(results: TableResults) -> Sheet | None:
    """The table of main effects and interactions; none where the rows are no grid."""
    found = results.effects
    if found is None:
        return None
    title = f"{results.plan.table.id}: main effects and interactions"
    return effects.sheet(found, title, _digits(found.metric))


def _blocks(results: TableResults) -> list[Block]:
    plan = results.plan
    printed = {metric for row in plan.rows for metric in row.row.published}
    metrics = tuple(metric for metric in plan.table.columns if metric not in COSTS)
    comparable = results.comparable
    here, there = results.measured_kind, results.published_on
    blocks = []
    published = tuple(metric for metric in metrics if metric in printed)
    errors = tuple(metric for metric in metrics if metric in ERRORS)
    own = tuple(metric for metric in metrics if metric not in (*CITED, *errors))
    trained = any(row.train for row in plan.rows)
    if own and (trained or not published):
        measured = "measured" if comparable else f"measured\n{here}"
        blocks.append(Block("measured", measured, own))
    main = results.main_metric
    if main and any(one.found for one in results.changes.values()):
        blocks += _against(results, main)
    if published:
        beside = comparable or not trained
        blocks.append(Block("published", "paper" if beside else f"paper\n{there}", published))
    if results.comparable_rows and "AP" in published:
        blocks.append(Block("delta", "Δ", ("AP",)))
    for metric in (metric for metric in plan.table.columns if metric in COSTS):
        blocks.append(Block("measured", "measured", (metric,)))
        if metric in printed:
            blocks.append(Block("published", "paper", (metric,)))
            blocks.append(Block("delta", "Δ", (metric,)))
    if errors:
        where = "" if comparable else f"\n{here}"
        blocks.append(Block("measured", f"ΔAP50 if mended{where}", errors))
    return blocks


AGAINST = ("change", "p", "simultaneous", "adjusted")
"""Kinds of blocks against the baseline."""


def _against(results: TableResults, main: str) -> list[Block]:
    """Columns against the baseline: p where methods are told apart; if several, all together."""
    found = [one for change in results.changes.values() if (one := change.found.get(main))]
    methods = any(one.of_methods for one in found)
    count = max(one.family for one in found) if any(one.wide for one in found) else 1
    level = f"{100 * results.rule.level:g} %"
    titles = {"change": f"Δ{find(main).title} [{level}]"}
    titles |= {"p": "p"} if methods else {}
    titles |= {"simultaneous": f"[all {count}]"} if count > 1 else {}
    titles |= {"adjusted": "p, all"} if count > 1 and methods else {}
    group = "to baseline" if methods else "to baseline\nimages only"
    return [Block(kind, group, (main,), title) for kind, title in titles.items()]


def _entries(results: TableResults, row: RowNumbers, blocks: list[Block]) -> tuple[Entry, ...]:
    recipe = row.planned.row
    note = " ".join(recipe.notes) or None
    # csv has no footnotes, so there it is told in a column of its own.
    same = (("same_cell_as", row.planned.same),) if row.planned.same else ()
    return (
        Entry(recipe.label, recipe.label, note, more=same),
        *(text(recipe.columns.get(name)) for name in results.plan.table.labels),
        *(
            _changed(results.changes, recipe.label, block.kind, metric)
            if block.kind in AGAINST
            else _entry(row, block.kind, metric)
            for block in blocks
            for metric in block.metrics
        ),
        text(recipe.fidelity),
    )


def _entry(row: RowNumbers, kind: str, metric: str) -> Entry:
    recipe = row.planned.row
    if kind == "measured":
        entry = _measured(row.measured[metric], metric)
        if entry.text and row.warnings and metric not in COSTS:
            return replace(entry, note=f"In training: {'; '.join(row.warnings)}.")
        return entry
    if kind == "published":
        note = recipe.misprints.get(metric)
        return number(recipe.published.get(metric), _digits(metric), note)
    value = delta(row, metric)
    if value is None:
        return Entry("")
    shown = round(value, _digits(metric))
    # A difference below the last digit is none, without a sign.
    sign = "+" if shown else ""
    return Entry(f"{shown or 0:{sign}.{_digits(metric)}f}", value, recipe.unmatched.get(metric))


def _changed(found: dict[str, Change], label: str, kind: str, metric: str) -> Entry:
    """A row's difference to its baseline, its p, or either for all rows together."""
    change = found[label]
    if change.baseline is None:
        return Entry("baseline" if kind == "change" else "")
    one = change.found.get(metric)
    if one is None or one.value is None:
        return Entry("", None, change.reason or "not defined on these images")
    if kind == "p":
        return Entry(probability(one), one.p)
    if kind == "adjusted":
        return Entry("" if one.adjusted is None else small_p(one.adjusted), one.adjusted)
    if kind == "simultaneous":
        if one.wide is None:
            return Entry("")
        sides = tuple(zip(("low", "high"), (end * PERCENT for end in one.wide), strict=True))
        return Entry(ends(one.wide, _digits(metric)), None, more=sides)
    # A baseline that has one itself is not marked as such.
    chained = found.get(change.baseline, Change(None)).baseline is not None
    notes = [f"compared with {change.baseline}"] if chained else []
    notes += [one.reason] if one.reason else []
    numbers = points(one)
    sides = tuple((name, numbers[name]) for name in ("low", "high"))
    note = "; ".join(notes) or None
    return Entry(with_interval(one, _digits(metric)), numbers["value"], note, more=sides)


def delta(row: RowNumbers, metric: str) -> float | None:
    """Measured less published; none where they are not comparable or one is missing."""
    comparable = row.planned.same_detector if metric in COSTS else row.planned.comparable
    measured, published = row.measured[metric].value, row.planned.row.published.get(metric)
    if not comparable or measured is None or published is None:
        return None
    return measured - published


def _measured(one: Number, metric: str) -> Entry:
    if one.value is None:
        return Entry("", None, one.reason)
    digits = _digits(metric)
    spread = f" ± {one.sd:.{digits}f}" if one.sd is not None else ""
    more = (("sd", one.sd), ("n", one.seeds)) if one.sd is not None else ()
    return Entry(f"{fixed(one.value, digits)}{spread}", one.value, more=more)


def _digits(metric: str) -> int:
    return find(metric).digits


def _comparable(results: TableResults) -> list[str]:
    """Why printed AP and AR are not to be compared with measured ones, if they are not."""
    plan = results.plan
    told = any(row.train for row in plan.rows) and any(row.row.published for row in plan.rows)
    if not told or results.comparable:
        return []
    here, there = results.measured_kind, results.published_on
    how = f"on {there}, measured ones on {here}"
    if here == there:
        differs = dict.fromkeys(name for row in plan.rows for name in row.differs)
        how = f"with other settings ({', '.join(differs)})"
    same = results.comparable_rows
    but = f" but those of {', '.join(same)}" if same else ""
    return [f"The paper's AP and AR are {how}: they are not comparable{but}."]


def _notes(results: TableResults) -> list[str]:
    plan = results.plan
    seeds = ", ".join(str(seed) for seed in plan.seeds)
    plural = "s" if len(plan.seeds) > 1 else ""
    notes = [
        f"Profile {plan.profile.id}: {plan.profile.title}. AP and AR in percent, measured on "
        f"{results.measured_on or 'nothing'}; seed{plural} {seeds}."
    ]
    if plan.asked and plan.asked.overrides:
        notes.append(f"Changed by --set: {'; '.join(plan.asked.overrides)}.")
    if len(plan.seeds) > 1:
        notes.append(f"Mean ± standard deviation over n = {len(plan.seeds)} seeds.")
    notes += explained(results.changes.values(), results.main_metric, results.look, results.rule)
    notes += planning.could_show(results)
    notes += planning.bold(results)
    if results.signature:
        notes.append(f"Signature: {signature.line(results.signature)}")
    notes += conditions.notes(results.conditions)
    notes += conditions.caveats(results.cells)
    seen = {cell.data.seen_in_training for cell in results.cells} - {None}
    notes += [f"Not a test: {warning}." for warning in sorted(map(str, seen))]
    notes += _comparable(results)
    if any(metric in COSTS for metric in plan.table.columns):
        notes.append(
            f"GFLOPs and parameters are those of the paper-size detector at {plan.table.input}, "
            "counted as the papers did (mmdet)."
        )
    if any(metric in ERRORS for metric in plan.table.columns):
        notes.append(error_columns.NOTE)
    notes += plan.profile.notes
    notes += plan.table.notes
    notes += [f"{sentence}." for sentence in results.outdated]
    notes.append(status_line(results))
    return notes


def status_line(results: TableResults) -> str:
    """How many of the cells are done, each counted once, and how many rows have another's."""
    stand = results.standing
    kinds = Counter({"failed": len(stand.failed), "missing": len(stand.missing)})
    rest = "".join(f", {count} {name}" for name, count in kinds.items() if count)
    line = f"Cells: {len(stand.done)} of {len(results.plan.tasks)} done{rest}."
    same = sum(bool(row.same) for row in results.plan.rows)
    if not same:
        return line
    return f"{line} {same} row{'s have' if same > 1 else ' has'} the same cell as another row."


def payload(results: TableResults) -> dict[str, Any]:
    """What ``--format json`` prints; AP and AR in percent, blanks null with a reason.

    ``other_profiles`` says what else is stored.
    """
    plan, stand, found = results.plan, results.standing, results.changes
    return {
        "id": plan.table.id,
        "title": plan.table.title,
        "paper": plan.table.paper,
        "profile": plan.profile.id,
        "seeds": list(plan.seeds),
        "columns": list(plan.table.columns),
        "cells": {
            "done": len(stand.done),
            "failed": len(stand.failed),
            "missing": len(stand.missing),
        },
        "signature": results.signature,
        "conditions": results.conditions,
        "statistics": planning.plain(results),
        "effects": effects.plain(results.effects),
        "latency": latency_sheet.payload(results),
        "rows": [_json_row(plan, row, found.get(row.planned.row.label)) for row in results.rows],
        "notes": _notes(results),
        "other_profiles": results.other_profiles,
    }


def _json_row(plan: Plan, row: RowNumbers, change: Change | None) -> dict[str, Any]:
    recipe = row.planned.row
    published = {metric: recipe.published.get(metric) for metric in plan.table.columns}
    protocols = {
        "train-eval": next((one.rows[0].protocol for one in row.stored), None),
        "cost": row.cost.rows[0].protocol if row.cost else None,
    }
    return {
        "label": recipe.label,
        "settings": dict(recipe.columns),
        "fidelity": recipe.fidelity,
        "status": row.status,
        "same_cell_as": row.planned.same or None,
        "warnings": list(row.warnings),
        "measured": {metric: number.value for metric, number in row.measured.items()},
        "sd": {metric: number.sd for metric, number in row.measured.items()},
        "n": {m: one.seeds if one.value is not None else 0 for m, one in row.measured.items()},
        "change": None if change is None else plain(change),
        "reasons": {metric: one.reason for metric, one in row.measured.items() if one.reason},
        "published": published,
        "delta": {metric: delta(row, metric) for metric in plan.table.columns},
        "comparable": row.planned.comparable,
        "differs": list(row.planned.differs),
        "misprints": dict(recipe.misprints),
        "unmatched": dict(recipe.unmatched),
        "protocol": protocols,
        "digests": [task.digest for task in row.planned.train],
    }
