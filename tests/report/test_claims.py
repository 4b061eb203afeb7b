"""What printed numbers say of claims: on made tables, and on the papers' own by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detbench.recipe import load
from detbench.recipe.claims import Figure
from detbench.recipe.table import Table
from detbench.report import claim_sheet, claims
from detbench.report.claims import Finding

METRICS = ("AP", "AP50", "AP75", "APs", "gflops", "fps")
NUMBERS: dict[str, tuple[float | None, ...]] = {
    "A": (30.0, 50.0, 32.0, 10.0, 100.0, 20.0),
    "A 1": (30.6, 50.2, 32.9, 10.4, 80.0, 18.0),
    "A 2": (30.6, 49.9, 33.5, 9.0, 110.0, 21.0),
    "A 1 2": (31.3, 50.1, 34.4, 10.4, 90.0, 20.0),
    "B": (40.0, 60.0, 42.0, 20.0, 200.0, 10.0),
    "B 1": (39.8, 60.5, 42.2, 20.1, None, 10.0),
    "B 2": (40.5, 60.1, 42.6, 19.0, 205.0, 10.1),
    "B 1 2": (40.3, 60.6, 42.8, 19.1, None, 9.0),
}


def made(**claim: Any) -> Table:
    """A table of the numbers above, with one claim."""
    rows = [
        {
            "label": label,
            "cited": "made",
            "columns": {"host": label[0], "parts": label[2:]},
            "published": {k: v for k, v in zip(METRICS, values, strict=True) if v is not None},
        }
        for label, values in NUMBERS.items()
    ]
    data = {
        "id": "made",
        "title": "Made",
        "paper": "own",
        "columns": METRICS,
        "breaks": ["B"],
        "rows": rows,
        "claims": [{"says": "so", "place": "here", **claim}],
    }
    return Table.model_validate_json(json.dumps(data))


def asked(**claim: Any) -> Finding:
    (found,) = claims.printed(made(**claim))
    return found


def values(found: Finding) -> list[float]:
    return [round(one.value, 4) for one in found.known if one.value is not None]


def outcomes(found: Finding) -> list[str | None]:
    return [one.outcome for one in found.compared]


def test_better_over_the_baseline_of_each_part() -> None:
    found = asked(kind="better", rows=["* 1"])
    assert values(found) == [0.6, -0.2]
    assert outcomes(found) == ["holds", "opposite"]
    assert found.status == "in part"
    assert [one.contrast.name for one in found.failing] == ["B 1"]


def test_a_least_gain_is_reached_in_spite_of_binary_fractions() -> None:
    # 30.6 - 30.0 is 0.6000000000000014 or less, by the order of the sum.
    assert asked(kind="better", rows=["A 1"], least=0.6, most=0.6).status == "in full"
    assert asked(kind="better", rows=["A 1"], least=0.7).status == "contradicted"
    assert outcomes(asked(kind="better", rows=["A 1"], least=0.7)) == ["off"]
    assert outcomes(asked(kind="better", rows=["A 1"], most=0.5)) == ["off"]


def test_equal_numbers_are_not_better() -> None:
    found = asked(kind="better", rows=["A 1"], than=["A 2"])
    assert (found.status, outcomes(found)) == ("contradicted", ["off"])


def test_every_one_with_every_one_or_in_pairs() -> None:
    sets = {"kind": "better", "rows": ["* 2"], "than": ["A", "B", "A 1", "B 1"]}
    assert len(asked(**sets).compared) == 4 * 4
    pairs = asked(**{**sets, "than": ["A", "A 1", "B", "B 1"], "paired": True})
    names = [one.contrast.name for one in pairs.compared]
    assert names == ["A 2 over A", "A 1 2 over A 1", "B 2 over B", "B 1 2 over B 1"]
    assert values(pairs) == [0.6, 0.7, 0.5, 0.5]


def test_order_along_a_list() -> None:
    found = asked(kind="order", rows=["A", "A 1", "A 2", "A 1 2"])
    assert values(found) == [0.6, 0.0, 0.7]
    assert outcomes(found) == ["holds", "off", "holds"]
    falling = asked(kind="order", rows=["A 1 2", "A 1", "A"], falls=True)
    assert (values(falling), falling.status) == ([0.7, 0.6], "in full")


def test_order_along_a_column_asks_every_sequence() -> None:
    found = asked(kind="order", rows=["* 1", "* 1 2"], along="parts", metrics=["AP", "AP50"])
    names = [(one.contrast.name, one.contrast.metrics) for one in found.compared]
    assert names == [
        ("A 1 2 after A 1", ("AP",)),
        ("A 1 2 after A 1", ("AP50",)),
        ("B 1 2 after B 1", ("AP",)),
        ("B 1 2 after B 1", ("AP50",)),
    ]
    assert values(found) == [0.7, -0.1, 0.5, 0.1]


def test_best_of_all_and_of_some() -> None:
    assert asked(kind="best", rows=["B 2"]).status == "in full"
    assert len(asked(kind="best", rows=["B 2"]).compared) == 7
    some = asked(kind="best", rows=["A 1 2"], of=["A*"], metrics=["AP", "AP50"])
    assert [one.contrast.name for one in some.failing] == ["A 1 2 over A 1"]
    assert asked(kind="best", rows=["A", "A 1"], of=["A*"]).status == "contradicted"


def test_best_along_a_column_is_asked_where_rows_differ_in_it_alone() -> None:
    found = asked(kind="best", rows=["* 1"], along="parts")
    assert [one.contrast.name for one in found.compared] == [
        f"{host} 1 over {host}{parts}" for host in "AB" for parts in ("", " 2", " 1 2")
    ]
    assert values(found) == [0.6, 0.0, -0.7, -0.2, -0.7, -0.5]
    hosts = asked(kind="best", rows=["B *"], of=["A*"], along="host")
    names = [one.contrast.name for one in hosts.compared]
    assert names == ["B 1 over A 1", "B 2 over A 2", "B 1 2 over A 1 2"]


def test_of_costs_the_lowest_is_best() -> None:
    assert asked(kind="best", rows=["A 1"], of=["A*"], metrics=["gflops"]).status == "in full"
    assert asked(kind="best", rows=["A 2"], metrics=["fps"]).status == "in full"


def test_additive() -> None:
    sets = {
        "kind": "additive",
        "rows": ["A 1 2", "B 1 2"],
        "base": ["A", "B"],
        "parts": [["A 1", "B 1"], ["A 2", "B 2"]],
    }
    # A: 1.3 against 0.6 + 0.6; B: 0.3 against -0.2 + 0.5.
    assert values(asked(**sets, sum="more")) == [0.1, 0.0]
    assert outcomes(asked(**sets, sum="more")) == ["holds", "off"]
    assert asked(**sets, margin=0.1).status == "in full"
    assert asked(**sets, margin=0.05).status == "in part"
    assert outcomes(asked(**sets, sum="less")) == ["opposite", "off"]


def test_grows() -> None:
    rows = {"kind": "grows", "rows": ["A 1", "A 2"]}
    keys = ("APs", "AP50", "AP75")
    # Gains: A 1 has 0.4, 0.2, 0.9 and A 2 -1.0, -0.1, 1.5.
    assert values(asked(**rows, metrics=keys)) == [-0.2, 0.7, 0.9, 1.6]
    assert values(asked(**rows, metrics=keys, shape="last")) == [0.5, 0.7, 2.5, 1.6]
    assert values(asked(**rows, metrics=keys, shape="first")) == [-0.2, 0.5, 0.9, 2.5]


def test_equal_within_points_or_a_share() -> None:
    found = asked(kind="equal", rows=["A 1"], than=["A 2"], metrics=["AP", "AP50"], margin=0.2)
    assert (values(found), outcomes(found)) == ([0.0, 0.3], ["holds", "off"])
    share = asked(kind="equal", rows=["A 2", "B 2"], metrics=["gflops"], share=0.05)
    assert (values(share), outcomes(share)) == ([0.1, 0.025], ["off", "holds"])


def test_cheaper_is_a_share_of_what_the_other_costs() -> None:
    found = asked(kind="cheaper", rows=["A 1", "A 2"], least=0.15)
    assert (values(found), outcomes(found)) == ([0.2, -0.1], ["holds", "opposite"])
    speed = asked(kind="cheaper", rows=["A 1", "A 2"], metrics=["fps"])
    assert (values(speed), outcomes(speed)) == ([-0.1, 0.05], ["opposite", "holds"])


def test_what_is_not_printed_is_not_judged() -> None:
    found = asked(kind="cheaper", rows=["B", "B 2"], than=["B 1", "A"])
    assert outcomes(found) == [None, "opposite", None, "opposite"]
    assert asked(kind="cheaper", rows=["B 1"]).status == "not printed"
    figure = asked(kind="figure", rows=["A"], analysis="weights")
    assert (figure.status, figure.compared) == ("not printed", ())


def test_numbers_may_come_from_elsewhere() -> None:
    table = made(kind="better", rows=["A 1"], metrics=["AP", "AP50"])
    measured = {("A 1", "AP"): 3.0, ("A", "AP"): 5.0, ("A", "AP50"): 1.0}
    (found,) = claims.findings(table, lambda row, metric: measured.get((row, metric)))
    assert outcomes(found) == ["opposite", None]


# Table, a word of the claim, status, gains in the table's order, what does not hold: worked out by
# hand from the papers' tables.
BY_HAND: list[tuple[str, str, str, list[float], list[str]]] = [
    ("tscode-table1", "SCE alone raises", "in full", [0.6, 0.8, 0.9], []),
    (
        "tscode-table1",
        "SCE raises AR",
        "in part",
        [0.7, 0.4, 0.0, 0.7, 0.2, 0.4, -0.3, 0.5, 1.1],
        ["FCOS + SCE", "GFL + SCE"],
    ),
    ("tscode-table1", "more together", "in full", [0.5, 0.2, 0.1], []),
    ("tscode-table1", "saves 9 %", "in full", [0.0896, 0.0874, 0.0861], []),
    (
        "tscode-table1",
        "DPE gains most",
        "in part",
        [0.2, -0.1, 0.5, 0.4, 0.8, 0.8],
        ["FCOS + DPE"],
    ),
    ("tscode-table1", "slightly fewer", "in full", [0.0268, 0.0261, 0.0257], []),
    ("tscode-table2", "larger kernel", "in full", [0.1, 0.1], []),
    ("tscode-table3", "fourth level", "in full", [0.1], []),
    (
        "tscode-table4",
        "over 1.0",
        "in part",
        [1.3, 1.4, 1.4, 0.7, 0.8, 0.9, 0.8, 0.5],
        [f"{name} + TSCODE" for name in ("AutoAssign", "DDOD", "DeFCN", "OTA", "DW")],
    ),
    (
        "tsd-table1",
        "slightly more parameters",
        "contradicted",
        [0.4091],
        ["TSD w/o PC over ResNet-50"],
    ),
    ("tsd-table5", "10 % more time", "in full", [0.0886, 0.0878, 0.1071, 0.1027, 0.0924], []),
    (
        "tsd-table6",
        "On the leaderboard TSD",
        "in part",
        [2.76, 2.361, 3.54, 2.729],
        ["Cascade-DCN-SENet154 + TSD", "DCN-ResNeXt101* + TSD"],
    ),
    (
        "tsd-table4",
        "slightly better for localisation",
        "contradicted",
        [0.3],
        ["PC Point.w, Prop.w over PC Point.w, Point.w"],
    ),
    ("decoupled-rcnn-table10", "as it does in Cascade", "in full", [0.1], []),
    (
        "decoupled-rcnn-table1",
        "Denser proposals for regression gain most",
        "in full",
        [2.7, 2.3, 2.1, 0.4, 4.1, 4.0, 3.3, 0.5],
        [],
    ),
    (
        "decoupled-rcnn-table6",
        "every IoU",
        "in part",
        [1.0, 0.7, 1.8, -0.5, -0.6, 0.6, 0.6, 1.6, 0.1, -0.6, 0.1, 0.0, 1.3, 1.7, 1.9],
        ["λ 0.5 over λ 1", "λ 0.5 over λ 1", "λ 0.5 over λ 0.75", "λ 0.5 over λ 0.25"],
    ),
    ("ddod-table3", "more than 2.0", "in part", [2.0, 2.4, 2.2], ["RetinaNet + DDOD"]),
    ("ddod-table3", "RetinaNet's AP by 2.0", "in full", [2.0], []),
    (
        "ddod-table5",
        "best for classification",
        "in part",
        [1.0, 0.8, 0.5, 0.7, 0.6, -0.1, 1.0, 0.5, 0.3, 0.9, 0.4, 0.3],
        ["α_cls 0.8, α_reg 0.6 over α_cls 0.7, α_reg 0.6"],
    ),
    (
        "ddod-table5",
        "better for regression than any other",
        "in part",
        [0.1, 0.4, 0.4, 0.2, 0.1, 0.1, -0.2, 0.2, 0.3, 0.4, 0.4, 0.5],
        ["α_cls 0.7, α_reg 0.5 over α_cls 0.7, α_reg 0.6"],
    ),
    (
        "ddod-table7",
        "slightly",
        "in part",
        [0.1, 0.0, 0.2],
        ["Linear-Reweight* over Linear-Reweight"],
    ),
    ("ddod-table7", "other two policies", "in full", [0.2, 0.2], []),
    ("ddod-table6", "later its place", "in part", [0.3, 0.2, 0.0], ["position 4 after position 3"]),
    ("double-head-table1", "6.2 or more", "in full", [6.2, 7.5], []),
    (
        "double-head-table2",
        "grows with every block",
        "in part",
        [2.0, 0.5, 0.1, 0.2, 0.0, 0.2],
        ["K = 6 after K = 5"],
    ),
    (
        "double-head-table2",
        "decreasing rate",
        "in part",
        [1.9, 0.3, 0.1, 0.0],
        ["K = 7 beyond the sum"],
    ),
    ("double-head-figure6", "fused scores add", "in full", [0.6], []),
]


@pytest.mark.parametrize(("table", "word", "status", "gains", "failing"), BY_HAND)
def test_the_papers_own_numbers(
    table: str, word: str, status: str, gains: list[float], failing: list[str]
) -> None:
    found = claims.printed(load.table(table))
    (one,) = [each for each in found if word in each.claim.says]
    assert one.status == status
    assert values(one) == gains
    assert [each.contrast.name for each in one.failing] == failing


def test_no_claim_compares_what_no_row_has() -> None:
    """Each claim that more than pictures tell stands for at least one comparison."""
    for name in load.tables():
        for one in claims.printed(load.table(name)):
            pictures = isinstance(one.claim, Figure) and not one.claim.shows
            assert (one.compared == ()) == pictures, (name, one.number)


def test_bounds_of_a_figures_number_are_said() -> None:
    def said(than: list[str] | None = None, **shown: Any) -> str:
        one = {"name": "IoU", "part": "boxes", **shown}
        claim = {"kind": "figure", "rows": ["A"], "analysis": "alignment", "shows": [one]}
        found = asked(**claim, **({"than": than} if than else {}))
        return claim_sheet.sheet([found]).rows[0][5].text.removeprefix("figure: alignment; ")

    assert said(least=0.1, most=0.25) == "IoU, boxes: 0.1 to 0.25 wanted"
    assert said(["B"], margin=0) == "rise of IoU, boxes: above 0 wanted (margin 0)"
    assert said(falls=True, most=-0.5) == "minus IoU, boxes: at most -0.5 wanted"
    less = {"name": "score", "group": "large objects"}
    assert said(["B"], falls=True, group="small objects", less=less, least=1) == (
        "fall of IoU less score, boxes, small objects less large objects: at least 1 wanted"
    )


def test_the_sheet_says_it_in_words(tmp_path: Path) -> None:
    found = claims.printed(load.table("tscode-table1"))
    sheet = claim_sheet.sheet(found)
    lines = [[entry.text for entry in row] for row in sheet.rows]
    assert lines[0][4:] == ["section 4.1, Table 1", "+0.6, +0.8, +0.9", "in full"]
    assert lines[1][5] == "+9.0 %, +8.7 %, +8.6 %"
    assert lines[3][5:] == [
        "-0.3 to +1.1 (9)",
        "in part, not: FCOS + SCE, ARl 0.0 (off); GFL + SCE, ARs -0.3 (opposite)",
    ]
    fall = [f"fall of mean loss, cls, {one} quarter: above 0 wanted" for one in ("second", "last")]
    assert lines[12][5:] == ["; ".join(["figure: curves", *fall]), "not printed"]
    assert lines[14][5] == (
        "figure: alignment; IoU given up, before NMS: at least 0.05 wanted; "
        "IoU of the best score, before NMS: at most 0.75 wanted"
    )
    assert lines[16][5].endswith("after NMS: above 0 wanted (margin 0.01)")
    assert lines[17][5] == "figure: cases"
    assert sheet.notes[0] == (
        "18 claims: 9 borne out in full by the printed numbers, 3 in part, "
        "6 of which nothing is printed."
    )
