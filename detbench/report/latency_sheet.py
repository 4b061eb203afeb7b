"""The table of stored latencies below a table: each with its machine, printed times in columns of
their own.

A paper's FPS or milliseconds are of its own machine: they stand beside and nothing is computed of
both. No torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from detbench.recipe.metrics import find
from detbench.report.results import TableResults
from detbench.report.table import Column, Entry, Sheet, number, plain, text
from detbench.runner.latency import STEPS, Timed

PRINTED = ("runtime_s", "runtime_ms", "fps")
SHOWN = ("preprocess", "model", "postprocess", "total")
DIGITS = 2


def sheet(results: TableResults) -> Sheet | None:
    """A line for each row and condition that it was timed under; none where nothing is stored.

    Lines of one condition (machine, settings) stand together, apart from others by a rule.
    """
    found = [(timed, label) for label, every in results.latencies.items() for timed in every]
    if not found:
        return None
    conditions = list(dict.fromkeys(timed.condition for timed, _ in found))
    found.sort(key=lambda pair: conditions.index(pair[0].condition))
    recipes = {row.planned.row.label: row.planned.row for row in results.rows}
    printed = [m for m in PRINTED if any(m in one.published for one in recipes.values())]
    rows, breaks = [], []
    for place, (timed, label) in enumerate(found):
        if place and timed.condition != found[place - 1][0].condition:
            breaks.append(place)
        published = recipes[label].published
        beside = [number(published.get(m), find(m).digits) for m in printed]
        kind = conditions.index(timed.condition) + 1
        rows.append(
            (
                *(label, Entry(f"{kind}", timed.words), _network(timed, label, results)),
                *(*_times(timed), timed.n, *beside),
            )
        )
    heads = (
        Column("row", "Row"),
        Column("condition", "On"),
        Column("network", "Network"),
        *(Column(f"{one}_ms", STEPS[one], "median ms", right=True) for one in SHOWN),
        Column("total_p95_ms", "total", "P95 ms", right=True),
        Column("n", "n", right=True),
        *(
            Column(f"published_{one}", find(one).title, "paper\nits own machine", right=True)
            for one in printed
        ),
    )
    title = f"{results.plan.table.id}: stored latency"
    made = plain(heads, rows, _notes(found, conditions, bool(printed)), title, keys=3)
    return replace(made, breaks=frozenset(breaks))


def _network(timed: Timed, label: str, results: TableResults) -> Entry:
    trained = timed.detector in results.trained_detectors(label)
    return text(f"profile {results.plan.profile.id}" if trained else "paper size")


def _times(timed: Timed) -> list[Entry]:
    return [
        *(number(timed.median(one), DIGITS, _why(timed.median(one))) for one in SHOWN),
        number(timed.p95(), DIGITS, _why(timed.p95())),
    ]


def _why(value: float | None) -> str | None:
    return None if value is not None else "timed without NMS alone"


def _notes(found: list[tuple[Timed, str]], conditions: list[str], printed: bool) -> list[str]:
    words = {timed.condition: timed.words for timed, _ in found}
    notes = [f"On {place}: {words[one]}." for place, one in enumerate(conditions, 1)]
    notes.append(
        "ms per batch, from detbench latency: median and 95th percentile of n passes, one after "
        "another; the median of the total is of the passes' totals. Decoding an image file is not "
        "timed."
    )
    if len(conditions) > 1:
        notes.append("Times on one condition are not to be compared with those on another.")
    if printed:
        notes.append("Printed times are of the paper's machine and not compared with ours.")
    told: dict[str, list[str]] = {}
    for timed, label in found:
        on = f" on {conditions.index(timed.condition) + 1}" if len(conditions) > 1 else ""
        told.setdefault(_said(timed), []).append(f"{label}{on}")
    notes += [f"{', '.join(labels)}: {said}." for said, labels in told.items() if said]
    versions = dict.fromkeys(str(timed.provenance.get("detbench")) for timed, _ in found)
    if len(versions) > 1:
        notes.append(f"Timed by several versions of detbench: {', '.join(versions)}.")
    return notes


def _said(timed: Timed) -> str:
    """What the device said that a reader must know: throttling, other programs."""
    told = []
    for when in ("before", "after"):
        state = timed.provenance.get(when)
        if not isinstance(state, dict):
            continue
        throttle = [one for one in _listed(state.get("throttle")) if one != "idle"]
        if throttle:
            told.append(f"throttled {when} ({', '.join(throttle)})")
    return "; ".join([*told, timed.busy] if timed.busy else told)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def payload(results: TableResults) -> list[dict[str, Any]]:
    """What ``--format json`` has of each row and condition."""
    return [
        {
            "row": label,
            "digest": timed.digest,
            "condition": timed.words,
            "machine": timed.cell.machine.model_dump(mode="json"),
            "metrics": dict(timed.metrics),
            "n": timed.n,
            "before": timed.provenance.get("before"),
            "after": timed.provenance.get("after"),
            "ended": timed.provenance.get("ended"),
        }
        for label, every in results.latencies.items()
        for timed in every
    ]
