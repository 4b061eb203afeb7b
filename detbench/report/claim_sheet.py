"""Claims as a table to print, and for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

from detbench.recipe import metrics
from detbench.recipe.claims import Figure, Shown
from detbench.report.claims import Compared, Finding
from detbench.report.table import Entry, Sheet, columns, fixed, plain

SHOWN = 3
"""So many comparisons are printed each by itself; of more, the range."""

LEGEND = (
    "Printed: differences between the paper's own numbers, as gains; of a sum, what is gained "
    "beyond it; of costs in per cent, what is saved; of a figure, the analysis that answers and "
    "what it must find (rise, fall: over the rows compared with). Borne out: whether these numbers "
    "say what is claimed; off: they are equal, or differ by less or more than is claimed; "
    "opposite: they say the reverse."
)


def sheet(findings: Sequence[Finding]) -> Sheet:
    """A row for each claim, tables apart, with the totals below."""
    rows = [
        (
            one.table,
            Entry(str(one.number), one.number),
            one.claim.says,
            one.claim.kind,
            one.claim.place,
            _printed(one),
            _borne_out(one),
        )
        for one in findings
    ]
    heads = columns(
        table="Table",
        number=">#",
        claim="Claim",
        kind="Kind",
        place="Place",
        printed="Printed",
        borne_out="Borne out",
    )
    breaks = [i for i in range(1, len(findings)) if findings[i].table != findings[i - 1].table]
    made = plain(heads, rows, [totals(findings), LEGEND] if findings else [], keys=2)
    return replace(made, breaks=frozenset(breaks))


def payload(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What ``--format json`` prints; the same keys for every claim."""
    return [
        {
            "table": one.table,
            "number": one.number,
            "kind": one.claim.kind,
            "claim": one.claim.says,
            "place": one.claim.place,
            "analysis": one.claim.analysis if isinstance(one.claim, Figure) else None,
            "borne_out": one.status,
            "printed": [
                {
                    "what": each.contrast.name,
                    "metrics": list(map(str, each.contrast.metrics)),
                    "share": each.contrast.share_of is not None,
                    "low": None if each.contrast.low == -inf else each.contrast.low,
                    "high": None if each.contrast.high == inf else each.contrast.high,
                    "value": None if each.value is None else round(each.value, 6),
                    "outcome": each.outcome,
                }
                for each in one.compared
                if each.contrast.figure is None
            ],
        }
        for one in findings
    ]


def totals(findings: Sequence[Finding]) -> str:
    """How many claims there are, and how many of them their paper's numbers bear out."""
    counts: Counter[str] = Counter(one.status for one in findings)
    said = [
        f"{counts[status]} {words}"
        for status, words in (
            ("in full", "borne out in full by the printed numbers"),
            ("in part", "in part"),
            ("contradicted", "contradicted"),
            ("not printed", "of which nothing is printed"),
        )
        if counts[status]
    ]
    plural = "claim" if len(findings) == 1 else "claims"
    return f"{len(findings)} {plural}: {', '.join(said)}."


def _printed(finding: Finding) -> Entry:
    """The comparisons' numbers, or the analysis whose figure would say, and what it must find."""
    if isinstance(finding.claim, Figure):
        claim = finding.claim
        text = "; ".join([f"figure: {claim.analysis}", *(_wanted(claim, s) for s in claim.shows)])
        return Entry(text, claim.analysis)
    known = finding.known
    if len(known) > SHOWN:
        ordered = sorted(known, key=lambda one: one.value or 0.0)
        text = f"{amount(ordered[0])} to {amount(ordered[-1])} ({len(known)})"
    else:
        text = ", ".join(map(amount, known))
    return Entry(text, text or None)


def _wanted(claim: Figure, shown: Shown) -> str:
    """``IoU of the best score, before NMS: at least 0.75 wanted``: a number with its bounds, in the
    sign in which it is measured.
    """
    named = [
        one if less is None else f"{one} less {less}"
        for key in ("name", "part", "group")
        for one in [getattr(shown, key)]
        for less in [None if shown.less is None else getattr(shown.less, key)]
        if key != "group" or (one, less) != ("all", None)
    ]
    if claim.than is None:
        sign = "minus " if shown.falls else ""
    else:
        sign = "fall of " if shown.falls else "rise of "
    margin = "" if shown.margin is None else f" (margin {shown.margin:g})"
    return f"{sign}{', '.join(named)}: {_within(shown)} wanted{margin}"


def _within(shown: Shown) -> str:
    if shown.least is not None and shown.most is not None:
        return f"{shown.least:g} to {shown.most:g}"
    if shown.least is not None:
        return f"at least {shown.least:g}"
    return "above 0" if shown.most is None else f"at most {shown.most:g}"


def _borne_out(finding: Finding) -> Entry:
    """The verdict of the printed numbers, with what does not bear the claim out."""
    failing = finding.failing
    if not failing:
        return Entry(finding.status, finding.status)
    said = [f"{one.contrast.name}{metric_of(one)} {amount(one)} ({one.outcome})" for one in failing]
    if len(said) > SHOWN:
        said = [*said[: SHOWN - 1], f"{len(said) - SHOWN + 1} more"]
    return Entry(f"{finding.status}, not: {'; '.join(said)}", finding.status)


def metric_of(one: Compared) -> str:
    """What it is compared in, to follow its name."""
    titles = [
        metrics.find(key).title if isinstance(key, str) else str(key)
        for key in one.contrast.metrics
    ]
    if one.contrast.figure is not None:
        return f", {titles[-1]}"
    return f", {' against '.join(reversed(titles))}"


def amount(one: Compared) -> str:
    """A difference with its sign, in points or per cent."""
    value = one.value or 0.0
    share = one.contrast.share_of is not None
    digits = 1 if share else digits_of(one)
    text = fixed(round(100.0 * value if share else value, 6), digits)
    if not float(text):
        text = fixed(0.0, digits)
    sign = "+" if float(text) > 0 else ""
    return f"{sign}{text} %" if share else f"{sign}{text}"


def digits_of(one: Compared) -> int:
    """Decimals of a comparison's number, in its own unit."""
    last = one.contrast.metrics[-1]
    return metrics.find(last).digits if isinstance(last, str) else one.digits
