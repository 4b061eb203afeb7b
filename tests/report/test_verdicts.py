"""Verdicts of a table from its store: pooling, parts, one seed; agreement; printing; the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_claims
import pytest

from detbench.errors import DataError
from detbench.report import agreement, claims_page, formats, verdict_sheet, verdicts
from detbench.report.agreement import Agreement
from detbench.report.formats import markdown
from detbench.report.results import TableResults
from detbench.report.verdict_sheet import Board
from detbench.report.verdicts import Judged
from detbench.results.store import Store
from detbench.statistics.claims import ONE_SEED, Ruling, Verdict
from detbench.statistics.estimate import combine
from detbench.statistics.replicates import part

CLAIMS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "pooled": ({"kind": "better", "rows": ["* sharper"]}, ()),
    "each": ({"kind": "better", "rows": ["fcos sharper"], "than": ["fcos", "fcos blunter"]}, ()),
    "grows": ({"kind": "grows", "rows": ["fcos sharper"], "metrics": ["AP50", "AP75"]}, ()),
    "figure": ({"kind": "figure", "rows": ["fcos"], "analysis": "weights"}, ()),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TableResults:
    return made_claims.results(tmp_path_factory.mktemp("made"), 1, 2, 40, CLAIMS)


@pytest.fixture(scope="module")
def board(results: TableResults) -> Board:
    found = tuple(verdicts.judged(results))
    pairs = agreement.of_table(results)
    return Board(results.plan.table, found, pairs, "smoke", results.plan.seeds)


def sides(results: TableResults, *labels: str) -> list[Any]:
    rows = {one.row.label: one for one in results.plan.rows}
    return [results.bench.side(rows[label]) for label in labels]


def test_rows_of_several_hosts_are_pooled(results: TableResults, board: Board) -> None:
    [one] = board.judged[0].asked
    assert (one.name, one.question.seeds, len(one.parts)) == ("mean of 2", 2, 2)
    means = [
        sum(100 * one.values["AP"] for one in side) / 2
        for side in sides(results, "fcos sharper", "fcos", "atss sharper", "atss")
    ]
    first, second = means[0] - means[1], means[2] - means[3]
    assert [part.value for part in one.parts] == pytest.approx([first, second])
    assert one.value == pytest.approx((first + second) / 2)
    assert one.ends is not None
    widths = [part.ends[1] - part.ends[0] for part in one.parts if part.ends]
    assert one.ends[1] - one.ends[0] < max(widths)


def test_one_row_against_several_is_several_questions(board: Board) -> None:
    assert [one.name for one in board.judged[1].asked] == [
        "fcos sharper over fcos",
        "fcos sharper over fcos blunter",
    ]


def test_two_metrics_of_one_training_are_one_side(results: TableResults, board: Board) -> None:
    """Their covariance counts: not two sides, as if each had been trained for itself."""
    [one] = board.judged[2].asked
    made = []
    for side in sides(results, "fcos sharper", "fcos"):
        high, low = part(side, "AP75"), part(side, "AP50")
        assert high is not None
        assert low is not None
        made.append(replace(high, values=high.values - low.values, draws=high.draws - low.draws))
    wanted = combine(made, (1.0, -1.0), 40)
    assert one.question.estimate is not None
    assert one.question.estimate.value == pytest.approx(wanted.value)
    assert one.question.estimate.variance == pytest.approx(wanted.variance, rel=0.05)


def test_what_a_figure_answers_is_not_measured(board: Board) -> None:
    assert board.judged[3].ruling.verdict == "not measured"


def test_a_row_that_lacks_a_seed_is_compared_by_the_first_alone(results: TableResults) -> None:
    gone = next(one for one in results.plan.rows if one.row.label == "fcos sharper").train[1]
    root = results.store.root
    file, aside = root / "cells" / f"train-eval-{gone.digest}.parquet", root / "aside"
    file.rename(aside)
    try:
        found = verdicts.judged(TableResults(results.plan, Store(root)))
    finally:
        aside.rename(file)
    # The other host's alone is pooled, as it has both seeds.
    assert [one.name for one in found[0].asked[0].contrasts] == ["atss sharper"]
    assert (found[1].ruling.verdict, found[1].ruling.why) == ("undecided", ONE_SEED)
    assert [one.question.seeds for one in found[1].asked] == [1, 1]


def test_a_row_that_was_not_run_is_named_once(results: TableResults) -> None:
    gone = next(one for one in results.plan.rows if one.row.label == "fcos sharper")
    missing = {one.digest for one in gone.train}
    root = results.store.root
    files = [root / "cells" / f"train-eval-{key}.parquet" for key in missing]
    for file in files:
        file.rename(file.with_suffix(".aside"))
    try:
        found = verdicts.judged(TableResults(results.plan, Store(root)))
    finally:
        for file in files:
            file.with_suffix(".aside").rename(file)
    assert verdict_sheet.verdict_text(found[1]) == "not measured: fcos sharper, seed 0: not run"


def test_agreement_counts_pairs(results: TableResults, board: Board) -> None:
    """Printed: each part 1 above the one before it, hosts alike: ten rows, so 45 pairs, 5 ties."""
    found = board.agreement
    assert (found.pairs, found.ties, found.missing) == (45, 5, 0)
    assert found.agree + found.contradict + found.undecided == 40
    # blunter is printed above sharper, which beats it; alike and sharper are too near in part.
    assert found.contradict >= 4
    single = TableResults(replace(results.plan, seeds=(0,), rows=one_seed(results)), results.store)
    apart = agreement.of_table(single)
    assert (apart.agree, apart.contradict, apart.undecided, apart.ties) == (0, 0, 0, 5)
    assert apart.one_seed_agree + apart.one_seed_contradict + apart.one_seed_undecided == 40


def one_seed(results: TableResults) -> Any:
    return tuple(replace(one, train=one.train[:1]) for one in results.plan.rows)


def test_sheet_json_and_scoreboard_say_the_same(board: Board) -> None:
    sheet = verdict_sheet.sheet([board])
    plain = verdict_sheet.payload([board])
    assert [row[-1].value for row in sheet.rows] == [one["verdict"] for one in plain]
    assert len({frozenset(one) for one in plain}) == 1
    assert plain[0]["measured"][0]["value"] == sheet.rows[0][6].value
    assert len(plain[0]["measured"][0]["parts"]) == 2
    [score] = verdict_sheet.score_payload([board])
    line = {one.key: entry.value for one, entry in zip(*scored([score]), strict=True)}
    for verdict in ("supported", "contradicted", "equivalent", "undecided"):
        assert line[verdict] == [one["verdict"] for one in plain].count(verdict)
    assert (line["claims"], line["not_measured"], line["pairs_ties"]) == (4, 1, 5)
    both = verdict_sheet.scoreboard([score, {**score, "paper": "ddod"}])
    assert [row[0].text for row in both.rows] == ["own", "ddod", "all"]
    assert both.rows[2][1].value == 8


def scored(scores: list[dict[str, Any]]) -> tuple[Any, Any]:
    sheet = verdict_sheet.scoreboard(scores)
    return sheet.columns, sheet.rows[0]


@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_every_format(board: Board, results: TableResults, format: str) -> None:
    asked = formats.Report([], results.store.root, boards=[board])
    for sheet in (
        verdict_sheet.sheet([board]),
        verdict_sheet.scoreboard(verdict_sheet.score_payload([board])),
    ):
        if formats.FORMATS[format].sheets:
            assert "supported" in formats.render(sheet, format)
    if format == "html":
        page = formats.report(asked, format)
        assert "Claims and verdicts" in page
        assert "Nothing is stored" not in page
        assert page.count("fcos sharper over fcos blunter") >= 1


def judged(board: Board, ruling: Ruling) -> Judged:
    return replace(board.judged[0], ruling=ruling)


def test_verdicts_in_words(board: Board) -> None:
    def said(ruling: Ruling) -> str:
        return verdict_sheet.verdict_text(judged(board, ruling))

    assert said(Ruling("undecided", needs=9)) == "undecided: 9 seeds would tell"
    more = "undecided: no number of seeds: more images"
    assert said(Ruling("undecided")) == more
    assert said(Ruling("undecided", images=4000)) == f"{more} (4000 at these seeds)"
    assert said(Ruling("undecided", why=ONE_SEED)) == f"undecided: {ONE_SEED}"
    assert said(Ruling("not measured", why="so")) == "not measured: so"


def test_parts_that_are_otherwise_are_named(board: Board) -> None:
    [asked] = board.judged[0].asked
    first, second = asked.parts
    worse = replace(second, value=-3.0, tested=replace(second.tested or bad(), yes=1.0, no=0.001))
    better = replace(first, tested=replace(first.tested or bad(), yes=0.001, no=1.0))
    mixed = replace(board.judged[0], asked=(replace(asked, parts=(better, worse)),))
    one = replace(mixed, ruling=Ruling("supported"))
    assert one.in_part
    assert verdict_sheet.verdict_text(one) == "supported, not: atss sharper -3.0"
    other = replace(mixed, ruling=Ruling("contradicted"))
    assert verdict_sheet.verdict_text(other).startswith("contradicted, but holds: fcos sharper +")
    assert not replace(mixed, ruling=Ruling("undecided")).in_part


def bad() -> Any:
    raise AssertionError("no part was tested")


def test_check_tells_overturned_verdicts(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "was.json"
    path.write_text(json.dumps(verdict_sheet.payload([board])))
    assert claims_page.changed(claims_page.stated(path), [board]) == ([], [])
    rulings: tuple[Verdict, ...] = ("contradicted", "undecided", "equivalent", "supported")
    now = tuple(
        replace(one, ruling=Ruling(verdict))
        for one, verdict in zip(board.judged, rulings, strict=True)
    )
    states = ("supported", "supported", "undecided", "not measured")
    before = {("made", name): was for name, was in zip(CLAIMS, states, strict=True)}
    lost, gained = claims_page.changed(before, [replace(board, judged=now)])
    assert lost == [
        "overturned: made 1: supported, now contradicted: pooled",
        "lost: made 2: supported, now undecided: each",
    ]
    assert gained == [
        "new: made 3: undecided, now equivalent: grows",
        "new: made 4: not measured, now supported: figure",
    ]
    (tmp_path / "odd.json").write_text('{"rows": 1}')
    with pytest.raises(DataError, match="not what detbench claims"):
        claims_page.stated(tmp_path / "odd.json")
    with pytest.raises(DataError, match="cannot be read"):
        claims_page.stated(tmp_path / "none.json")


def test_agreement_adds_up() -> None:
    both = agreement.total([Agreement(agree=2, ties=1), Agreement(agree=1, missing=4)])
    assert both == Agreement(agree=3, ties=1, missing=4)
    assert both.pairs == 8
    assert agreement.total([]).pairs == 0


def test_the_page_holds_what_is_kept_and_can_be_read_back(board: Board, tmp_path: Path) -> None:
    whole = verdict_sheet.sheet([board])
    kept = {
        "profile": "smoke",
        "seeds": [0, 1],
        "columns": [[one.key, one.title, one.right] for one in whole.columns],
        "rows": [["tscode-table1", *(entry.text for entry in row[1:])] for row in whole.rows],
        "notes": list(whole.notes),
        "verdicts": [one.ruling.verdict for one in board.judged],
        "scores": verdict_sheet.score_payload([board]),
    }
    page = claims_page.page(kept)
    scores = verdict_sheet.score_payload([board])
    assert markdown.render(verdict_sheet.scoreboard(scores)) in page
    (tmp_path / "claims.md").write_text(page)
    (tmp_path / "claims.json").write_text(json.dumps(kept))
    stated = claims_page.stated(tmp_path / "claims.md")
    assert stated == claims_page.stated(tmp_path / "claims.json")
    assert list(stated.values()) == kept["verdicts"]
