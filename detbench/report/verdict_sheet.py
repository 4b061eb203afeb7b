"""Claims with their verdicts as tables to print, and for scripts: each claim; the scoreboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

from detbench.recipe.table import Table
from detbench.report import agreement, claim_sheet, claims
from detbench.report.agreement import Agreement
from detbench.report.intervals import ends
from detbench.report.numbers import PERCENT
from detbench.report.results import TableResults
from detbench.report.table import Column, Entry, Sheet, columns, plain
from detbench.report.verdicts import Asked, Judged, judged
from detbench.statistics.claims import MARGIN, VERDICTS, counts
from detbench.statistics.estimate import NO_IMAGES

PAIRS = (
    ("pairs", "all"),
    ("agree", "agree"),
    ("contradict", "contradict"),
    ("undecided", "undecided"),
    ("one_seed_agree", "one seed: agree"),
    ("one_seed_contradict", "contradict"),
    ("one_seed_undecided", "undecided"),
    ("ties", "printed ties"),
    ("missing", "not measured"),
)
"""What is counted of pairs of rows, and how it is called."""

SCORES = (
    "In part: decided claims some of whose comparisons are found to be otherwise. Pairs: two rows "
    "of a table whose printed main metric can be measured here; agree, contradict: the interval of "
    "their difference leaves 0 out, in the printed order or in the other one. What has one seed "
    "says something of those trainings alone."
)

SHOWN = 3
"""Comparisons that are named in one entry; of more, the number."""

LEGEND = (
    "Measured: the sum that decides (of several, the weakest of a supported claim and the firmest "
    "of a contradicted one), in points with its 95 % interval over images and seeds; a mean pools "
    "the same comparison on several hosts or backbones. Verdicts hold for all claims of a table "
    "together (Holm); equivalent: within the margin of no difference; undecided, n seeds: so many "
    "a row would tell in 80 % of cases if the difference is as measured. One seed decides nothing."
)


@dataclass(frozen=True)
class Board:
    """A table's claims with their verdicts.

    Attributes:
        agreement: of its rows' order with the printed one.
        profile: that it was measured under.
        seeds: that were asked for.
    """

    table: Table
    judged: tuple[Judged, ...]
    agreement: Agreement
    profile: str
    seeds: tuple[int, ...]


def board(results: TableResults, margin: float = MARGIN) -> Board:
    """A table's verdicts and agreement; what is not cached of its trainings is computed."""
    plan = results.plan
    found = tuple(judged(results, margin))
    return Board(plan.table, found, agreement.of_table(results), plan.profile.id, plan.seeds)


def sheet(boards: Sequence[Board]) -> Sheet:
    """A row for each claim, tables apart."""
    heads = columns(
        table="Table",
        number=">#",
        claim="Claim",
        place="Place",
        printed="Printed",
        borne_out="Borne out",
        measured="Measured",
        seeds=">n",
        verdict="Verdict",
    )
    found = [one for board in boards for one in board.judged]
    own = claim_sheet.sheet([one.finding for one in found])
    rows = [
        (*line[:3], *line[4:], *_entries(one)) for line, one in zip(own.rows, found, strict=True)
    ]
    if not found:
        return plain(heads, [])
    score = f"{totals(found)} {agreed(agreement.total(one.agreement for one in boards))}"
    notes = [own.notes[0], score, *own.notes[1:], LEGEND]
    return replace(plain(heads, rows, notes, keys=own.keys), breaks=own.breaks)


def _entries(one: Judged) -> tuple[Entry, Entry, Entry]:
    """What was measured, with how many seeds, and the verdict."""
    asked = one.deciding
    more: tuple[tuple[str, Any], ...] = (
        ("p", one.ruling.p),
        ("p_adjusted", one.ruling.adjusted),
        ("needs_seeds", one.ruling.needs),
        ("in_part", one.in_part),
    )
    verdict = Entry(verdict_text(one), one.ruling.verdict, more=more)
    if asked is None:
        empty = (("low", None), ("high", None))
        return Entry("", None, more=empty), Entry("", None), verdict
    low, high = asked.ends or (None, None)
    exact = asked.question.exact is not None
    count = asked.question.seeds
    seeds = Entry("counted", None) if exact else Entry(str(count), count)
    shown = Entry(measured(asked, one), asked.value, more=(("low", low), ("high", high)))
    return shown, seeds, verdict


def measured(asked: Asked, one: Judged) -> str:
    """``+0.8 [0.3, 1.2]``, with the rows' name where the claim has several questions."""
    known = _compared(asked)
    text = claim_sheet.amount(known)
    if asked.ends:
        digits = 1 if known.contrast.figure is None else claim_sheet.digits_of(known)
        text = f"{text} {ends([end / PERCENT for end in asked.ends], digits)}"
    if len(one.asked) < 2 and not asked.parts:
        return text
    return f"{text} ({asked.name}{claim_sheet.metric_of(known)})"


def verdict_text(one: Judged) -> str:
    """The verdict with what must be said beside it."""
    ruling = one.ruling
    if ruling.verdict == "not measured":
        return f"not measured: {ruling.why}" if ruling.why else "not measured"
    if ruling.verdict == "undecided":
        return f"undecided: {needs_text(one)}"
    if not one.in_part:
        return ruling.verdict
    others = one.failing if ruling.verdict == "supported" else one.holding
    said = [f"{asked.name} {claim_sheet.amount(_compared(asked))}" for asked in others]
    if len(said) > SHOWN:
        said = [*said[: SHOWN - 1], f"{len(said) - SHOWN + 1} more"]
    word = "not" if ruling.verdict == "supported" else "but holds"
    return f"{ruling.verdict}, {word}: {'; '.join(said)}"


def needs_text(one: Judged) -> str:
    """What would decide a claim."""
    ruling = one.ruling
    if ruling.why:
        return ruling.why
    if ruling.needs is not None:
        return f"{ruling.needs} seeds would tell"
    if ruling.images is not None:
        return f"no number of seeds: more images ({ruling.images} at these seeds)"
    asked = one.deciding
    estimate = asked.question.estimate if asked else None
    if estimate is not None and estimate.images == NO_IMAGES:
        return "no number of seeds"
    return "no number of seeds: more images"


def _compared(asked: Asked) -> claims.Compared:
    return claims.Compared(asked.contrasts[0], asked.value, None, asked.digits)


def totals(found: Sequence[Judged]) -> str:
    """How many claims have each verdict."""
    known = counts([one.ruling for one in found])
    part = sum(one.in_part for one in found)
    said = ", ".join(f"{known[name]} {name}" for name in VERDICTS if known[name])
    more = f" ({part} of them in part)" if part else ""
    return f"Verdicts: {said}{more}."


def agreed(found: Agreement) -> str:
    """How often the measured order of two rows is the printed one."""
    if not found.pairs:
        return ""
    told = found.agree + found.contradict
    share = f" ({100 * found.agree / told:.0f} % of those told apart)" if told else ""
    single = found.one_seed_agree + found.one_seed_contradict + found.one_seed_undecided
    said = (
        f"Order of rows, over {found.pairs} printed pairs: {found.agree} agree{share}, "
        f"{found.contradict} contradict, {found.undecided} undecided"
    )
    if single:
        said += (
            f"; with one seed, so of those trainings alone, {found.one_seed_agree} agree, "
            f"{found.one_seed_contradict} contradict, {found.one_seed_undecided} undecided"
        )
    return f"{said}; {found.ties} printed alike, {found.missing} not measured."


def scoreboard(scores: Sequence[Mapping[str, Any]], by: str = "paper") -> Sheet:
    """Claims by verdict and pairs by agreement, of each paper (or ``table``) and in all.

    Args:
        scores: as of ``score_payload``.
    """
    verdicts = [Column(_key(one), one, "verdicts", right=True) for one in VERDICTS]
    pairs = [Column(f"pairs_{key}", title, "pairs of rows", right=True) for key, title in PAIRS]
    heads = (
        Column(by, by.capitalize()),
        Column("claims", "claims", right=True),
        *verdicts,
        Column("in_part", "in part", "verdicts", right=True),
        *pairs,
    )
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in scores:
        groups.setdefault(str(one[by]), []).append(one)
    lines = [_score(name, some) for name, some in groups.items()]
    if len(groups) > 1:
        lines.append(_score("all", scores))
    made = plain(heads, lines, [SCORES])
    last = frozenset([len(lines) - 1]) if len(groups) > 1 else frozenset[int]()
    return Sheet(made.title, made.columns, made.rows, made.notes, last)


def _key(verdict: str) -> str:
    return verdict.replace(" ", "_")


def _score(name: str, scores: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    keys = ("claims", *map(_key, VERDICTS), "in_part")
    numbers = [sum(one[key] for one in scores) for key in keys]
    numbers += [sum(one["agreement"][key] for one in scores) for key, _ in PAIRS]
    return (name, *(Entry(str(one), one) for one in numbers))


def score_payload(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """The scoreboard of each table for scripts; papers and totals are sums of these."""
    return [
        {
            "table": one.table.id,
            "paper": one.table.paper,
            "profile": one.profile,
            "seeds": list(one.seeds),
            "claims": len(one.judged),
            **{_key(name): n for name, n in counts([j.ruling for j in one.judged]).items()},
            "in_part": sum(each.in_part for each in one.judged),
            "agreement": one.agreement.plain(),
        }
        for one in boards
    ]


def payload(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """What ``--format json`` prints; the same keys for every claim."""
    found = [(board, one) for board in boards for one in board.judged]
    printed = claim_sheet.payload([one.finding for _, one in found])
    return [
        {**plain_, **_measured(board, one)}
        for plain_, (board, one) in zip(printed, found, strict=True)
    ]


def _measured(board: Board, one: Judged) -> dict[str, Any]:
    ruling = one.ruling
    return {
        "profile": board.profile,
        "seeds": list(board.seeds),
        "verdict": ruling.verdict,
        "in_part": one.in_part,
        "why": needs_text(one) if ruling.verdict == "undecided" else ruling.why,
        "p": ruling.p,
        "p_adjusted": ruling.adjusted,
        "p_equivalent": ruling.same,
        "needs_seeds": ruling.needs,
        "needs_images": ruling.images,
        "decides": None if one.deciding is None else ruling.decides,
        "measured": [_asked(each, one.alpha) for each in one.asked],
    }


def _asked(one: Asked, alpha: float) -> dict[str, Any]:
    contrast, estimate = one.contrasts[0], one.question.estimate
    low, high = one.ends or (None, None)
    return {
        "what": one.name,
        "metrics": list(map(str, contrast.metrics)),
        "share": contrast.share_of is not None,
        "least": contrast.low if isfinite(contrast.low) else None,
        "most": None if contrast.high == inf else contrast.high,
        "value": one.value,
        "low": low,
        "high": high,
        "seeds": None if estimate is None else one.question.seeds,
        "images": None if estimate is None or estimate.images == NO_IMAGES else estimate.images,
        "outcome": one.state(alpha),
        "reason": one.question.reason or (estimate.reason if estimate else ""),
        "parts": [_asked(part, alpha) for part in one.parts],
    }
