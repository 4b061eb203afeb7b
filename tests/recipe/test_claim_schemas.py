"""Claims of a table: every mistake in one is a sentence, and they change nothing that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.rows import chosen

HEAD = """
id = "mine"
title = "Mine"
paper = "own"
columns = ["AP", "AP50", "AP75", "gflops"]
"""
ROWS = "".join(
    f'[[rows]]\nlabel = "{label}"\ncolumns = {{ host = "{label[0]}", "K" = "{label[2:]}" }}\n'
    'detector = "fcos-r50"\n'
    for label in ("A", "A 1", "A 2", "B", "B 1", "B 2")
)
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def to_file(text: str, name: str = "mine.toml") -> str:
        (tmp_path / name).write_text(text)
        return name

    return to_file


def claim(text: str, head: str = 'says = "so"\nplace = "here"\n') -> str:
    return HEAD + ROWS + f"[[claims]]\n{head}{text}\n"


def mistakes(name: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load.table(name)
    return caught.value.mistakes


SOUND = (
    'kind = "better"\nrows = ["A *"]\nleast = 0.5\nmost = 1.0',
    'kind = "better"\nrows = ["* 1"]\nthan = ["* 2"]\npaired = true\nmetrics = ["AP50", "AP75"]',
    'kind = "order"\nrows = ["A", "A 1", "A 2"]',
    'kind = "order"\nrows = ["*"]\nalong = "K"\nfalls = true',
    'kind = "best"\nrows = ["A 2"]\nof = ["A*"]',
    'kind = "best"\nrows = ["* 2"]\nalong = "K"',
    'kind = "additive"\nrows = ["A 2", "B 2"]\nbase = ["A", "B"]\n'
    'parts = [["* 1"], ["B 1", "A 1"]]\nsum = "more"',
    'kind = "grows"\nrows = ["A 1"]\nmetrics = ["AP50", "AP75"]\nshape = "last"',
    'kind = "equal"\nrows = ["A 1"]\nmargin = 0.2',
    'kind = "equal"\nrows = ["A 1"]\nmetrics = ["gflops"]\nshare = 0.1',
    'kind = "cheaper"\nrows = ["A 1"]',
    'kind = "figure"\nrows = ["A"]\nanalysis = "sliding-window"',
    'kind = "figure"\nrows = ["A 1", "B 1"]\nthan = ["A", "B"]\npaired = true\nanalysis = "cases"\n'
    'shows = [{ name = "duplicates", part = "boxes", less = { group = "large objects" } }]',
)


@pytest.mark.parametrize("text", SOUND)
def test_every_kind_is_read(write: Write, text: str) -> None:
    (one,) = load.table(write(claim(text))).claims
    assert (one.says, one.place) == ("so", "here")
    assert f'kind = "{one.kind}"' in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'kind = "better"\nrows = ["A 3"]',
            "claims[0].rows: unknown row 'A 3', did you mean 'A 2'? "
            "(choices: A, A 1, A 2, B, B 1, B 2)",
        ),
        (
            'kind = "better"\nrows = ["A 1"]\nthan = ["C*"]',
            "claims[0].than: unknown row 'C*' (choices: A, A 1, A 2, B, B 1, B 2)",
        ),
        (
            'kind = "better"\nrows = ["A 1"]\nmetrics = ["AP90"]',
            "claims[0].metrics: unknown column 'AP90', did you mean 'AP50'? "
            "(choices: AP, AP50, AP75, gflops)",
        ),
        ('kind = "better"\nrows = []', "claims[0].rows: given 0, needs at least 1"),
        (
            'kind = "better"\nrows = ["A", "A 1"]',
            "claims[0].rows: 'A' has no baseline: 'than' says what it is compared with",
        ),
        (
            'kind = "better"\nrows = ["A*"]\nthan = ["A 1"]',
            "claims[0].than: 'A 1' is among rows too, and would be compared with itself",
        ),
        (
            'kind = "better"\nrows = ["A 1"]\nmetrics = ["gflops"]',
            "claims[0].metrics: gflops is a cost: kind 'cheaper' compares costs",
        ),
        (
            'kind = "cheaper"\nrows = ["A 1"]\nmetrics = ["AP"]',
            "claims[0].metrics: AP is no cost: kind 'better' compares what rows reach",
        ),
        (
            'kind = "grows"\nrows = ["A 1"]\nmetrics = ["AP50", "AP50"]',
            "claims[0].metrics: AP50 is named twice",
        ),
        (
            'kind = "grows"\nrows = ["A 1"]\nmetrics = ["AP50"]',
            "claims[0].metrics: given 1, needs at least 2",
        ),
        (
            'kind = "better"\nrows = ["* 1"]\nthan = ["A"]\npaired = true',
            "claims[0].paired: rows means 2 and than 1: give as many of both",
        ),
        (
            'kind = "better"\nrows = ["A 1"]\npaired = true',
            "claims[0].paired: needs 'than'; without it each row is compared with its baseline",
        ),
        (
            'kind = "better"\nrows = ["A 1"]\nleast = 1.0\nmost = 0.5',
            "claims[0].most: 0.5 is below the least, 1",
        ),
        (
            'kind = "equal"\nrows = ["A 1"]',
            "claims[0]: give either 'margin', in points, or 'share', a fraction",
        ),
        (
            'kind = "figure"\nrows = ["A 1"]\npaired = true\nanalysis = "cases"',
            "claims[0].paired: needs 'than'; without it each row is looked at by itself",
        ),
        (
            'kind = "figure"\nrows = ["A*"]\nthan = ["A"]\nanalysis = "cases"',
            "claims[0].than: 'A' is among rows too, and would be compared with itself",
        ),
        (
            'kind = "figure"\nrows = ["A"]\nanalysis = "cases"\n'
            'shows = [{ name = "n", part = "p", less = { part = "p" } }]',
            "claims[0].shows[0].less.part: 'p' would be subtracted from itself",
        ),
        (
            'kind = "figure"\nrows = ["A"]\nanalysis = "cases"\n'
            'shows = [{ name = "n", part = "p", less = {} }]',
            "claims[0].shows[0].less: say which number by its 'name', 'part' or 'group'",
        ),
        (
            'kind = "figure"\nrows = ["A"]\nanalysis = "cases"\n'
            'shows = [{ name = "n", part = "p", least = 0.5, most = 0.2 }]',
            "claims[0].shows[0].most: 0.2 is below the least, 0.5",
        ),
        ('kind = "best"\nrows = ["*"]', "claims[0]: of: no other row is left to compare with"),
        (
            'kind = "best"\nrows = ["A 2"]\nof = ["B", "B 1"]\nalong = "host"',
            "claims[0]: of: no other row is left to compare with",
        ),
        (
            'kind = "best"\nrows = ["A 2"]\nalong = "k"',
            "claims[0].along: unknown descriptive column 'k', did you mean 'K'? (choices: host, K)",
        ),
        (
            'kind = "order"\nrows = ["A"]',
            "claims[0].rows: an order needs two rows in one sequence",
        ),
        (
            'kind = "order"\nrows = ["A 1", "B 2"]\nalong = "host"',
            "claims[0].rows: an order needs two rows in one sequence",
        ),
        (
            'kind = "order"\nrows = ["*"]\nalong = "hosts"',
            "claims[0].along: unknown descriptive column 'hosts', did you mean 'host'? "
            "(choices: host, K)",
        ),
        (
            'kind = "additive"\nrows = ["A 2"]\nbase = ["A", "B"]\nparts = [["A 1"], ["B 1"]]\n'
            'sum = "more"',
            "claims[0]: every set needs as many rows (rows 1, base 2, parts[0] 1, parts[1] 1)",
        ),
        (
            'kind = "additive"\nrows = ["A 2"]\nbase = ["A"]\nparts = [["A 1"], ["A"]]\n'
            'sum = "more"',
            "claims[0]: one row is in two sets: A 2, A, A 1, A",
        ),
        (
            'kind = "additive"\nrows = ["A 2"]\nbase = ["A"]\nparts = [["A 1"], ["B"]]',
            "claims[0].margin: with sum = 'equal', and only then, how far from it counts as equal",
        ),
        (
            'kind = "figure"\nrows = ["A"]\nanalysis = "sliding"',
            "claims[0].analysis: given the string \"sliding\", did you mean 'sliding-window'? "
            "(choices: alignment, sliding-window, sensitivity, weights, features, gradients, "
            "shifts, curves, speed, cases)",
        ),
        (
            'kind = "bettr"\nrows = ["A"]',
            "claims[0]: unknown kind 'bettr', did you mean 'better'? (choices: better, order, "
            "best, additive, grows, equal, cheaper, figure)",
        ),
        (
            'kind = "better"\nrows = ["A 1"]\nalong = "K"',
            "claims[0].along: unknown key 'along' (choices: says, place, rows, than, paired, "
            "metrics, kind, least, most); claims[0].kind decides, 'order' and 'best' would take it",
        ),
    ],
)
def test_every_mistake_is_one_sentence(write: Write, text: str, said: str) -> None:
    assert mistakes(write(claim(text))) == [f"mine.toml: {said}"]


def test_a_claim_says_something_and_where(write: Write) -> None:
    assert mistakes(write(claim('kind = "better"\nrows = ["A 1"]', 'says = ""\n'))) == [
        'mine.toml: claims[0].says: given the string "": string should have at least 1 character',
        "mine.toml: claims[0].place: required, but not given",
    ]


def test_all_mistakes_of_all_claims_at_once(write: Write) -> None:
    second = '[[claims]]\nsays = "x"\nplace = "y"\nkind = "best"\nrows = ["Z"]\nmetrics = ["ARs"]\n'
    found = mistakes(write(claim('kind = "equal"\nrows = ["A 1"]') + second))
    assert [line.split(": ")[1] for line in found] == [
        "claims[0]",
        "claims[1].rows",
        "claims[1].metrics",
    ]


def test_a_pattern_that_is_a_label_means_that_row_alone() -> None:
    labels = ("Sum", "Sum*", "Linear*")
    assert chosen(["Sum*"], labels) == ("Sum*",)
    assert chosen(["S*"], labels) == ("Sum", "Sum*")
    assert chosen(["linear*", "*", "Sum"], labels) == ("Linear*", "Sum", "Sum*")
    assert chosen(["Mean"], labels) == ()


def test_claims_are_no_part_of_a_cell(write: Write) -> None:
    with_claims = load.table(write(claim('kind = "better"\nrows = ["A 1"]')))
    without = load.table(write(HEAD + ROWS, "other.toml"))
    ours, theirs = (
        [digest(row.cell) for row in resolve.cells(one, "smoke") if row.cell]
        for one in (with_claims, without)
    )
    assert ours == theirs
    assert len(ours) == 6


def test_what_is_claimed_of_a_parent_is_not_claimed_of_its_child(write: Write) -> None:
    write(claim('kind = "better"\nrows = ["A 1"]'))
    row = '[[rows]]\nlabel = "C"\ndetector = "fcos-r50"\n'
    child = load.table(write(f'extends = "mine.toml"\nid = "child"\n{row}', "child.toml"))
    assert child.claims == ()
    assert [one.label for one in child.rows] == ["C"]


PAPERS = {"tscode": 48, "tsd": 51, "decoupled-rcnn": 62, "ddod": 48, "double-head": 54}


def test_the_papers_claims() -> None:
    tables = [load.table(name) for name in load.tables()]
    counts = {paper: sum(len(t.claims) for t in tables if t.paper == paper) for paper in PAPERS}
    assert counts == PAPERS
    for table in tables:
        words = [one.says for one in table.claims]
        assert len(set(words)) == len(words), table.id
