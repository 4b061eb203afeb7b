"""Nothing that a command prints is wider than its terminal, at 80, 100 and 120 columns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import exit_code
from hypothesis import given, settings
from hypothesis import strategies as st
from made_coco import make_coco
from made_detectors import Made, detect, scenes
from made_terminal import screen
from report.made_store import all_metrics, fill

from detbench.cli.main import COMMANDS
from detbench.recipe import load
from detbench.report.formats.terminal import parts, render
from detbench.report.table import Column, Sheet, number, text
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.wrapping import cells, wrap

WIDTHS = (80, 100, 120)
TABLE = "tscode-table1"
SMOKE = ("--profile", "smoke")
LONG = "a-folder-with-a-name-of-forty-characters/" * 4


@pytest.fixture
def stored(folder: Path) -> Path:
    """Results of every row with three seeds, and COCO results of two made detectors."""
    store, rng = Store(folder / "results"), np.random.default_rng(0)
    for place, task in enumerate(plans.make(load.table(TABLE), load.profile("smoke")).tasks):
        fill(store, task, 0, **all_metrics(0.2 + 0.01 * place), gflops=200.0 + place)
    ground, hard = scenes(rng, 20)
    for image in ground["images"]:
        image |= {"width": 700, "height": 700, "file_name": f"{image['id']}.jpg"}
    for category in ground["categories"]:
        category["name"] = f"猫と犬 {category['name']} " * 4
    (folder / "val.json").write_text(json.dumps(ground))
    for name in ("a", "b"):
        (folder / f"{name}.json").write_text(json.dumps(detect(rng, ground, hard, Made())))
    return make_coco(folder / "data", 4)


def printed(width: int, *words: str) -> str:
    with screen(width) as found:
        exit_code(*words)
    return found()


def wide(printed: str, width: int) -> list[str]:
    lines = [line for line in printed.split("\n") if "\033" not in line]
    assert any(lines)
    assert "Traceback" not in printed
    return [line for line in lines if cells(line) > width]


COCO = "coco:data/coco/annotations/instances_val2017.json:data/coco/val2017"
WIDEST = 11
"""Lines that a wide terminal is still too narrow for, at the beginning."""
LINES = (
    ("list",),
    ("list", "detectors"),
    ("list", "datasets", "--data-root", LONG),
    ("show", TABLE),
    ("show", "tsd-table8"),
    ("show", "fcos-r50"),
    ("check", TABLE, *SMOKE),
    ("check", TABLE, "--profile", "paper", "--data-root", LONG),
    ("report", TABLE, *SMOKE, "--columns", "+errors"),
    ("report", TABLE, *SMOKE, "--seeds", "0,1,2"),
    ("report", "--results", LONG),
    ("claims", TABLE),
    ("power",),
    ("results", "list"),
    ("results", "verify"),
    ("results", "merge", "results", "--results", "other"),
    ("results", "prune", "--failed"),
    ("data", "list"),
    ("data", "check", COCO),
    ("data", "convert", COCO, "--to", "coco", "--output", "made"),
    ("compare", "a.json", "b.json", "--annotations", "val.json", "--replicates", "200"),
    ("compare", "a.json", "b.json", "--annotations", LONG),
    ("eval", "--detections", "a.json", "--annotations", "val.json"),
    ("nothing-like-this",),
    ("show", f"{LONG}/table.toml"),
    ("run", TABLE, *SMOKE, "--set", "training.nothing_like_this=1", "--set", "data.nor=2"),
    ("list", "--nothing-like-this"),
    ("run", TABLE, "--jobs", "many"),
    ("eval", "--weights", f"{LONG}/w.pt"),
    ("weights", "import", f"{LONG}/w.pt", "--detector", "fcos-r50"),
    ("predict", "0", "--row", f"{TABLE}:FCOS"),
)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(width: int, stored: Path) -> None:
    lines = LINES if width == WIDTHS[0] else LINES[:WIDEST]
    found = {" ".join(line): wide(printed(width, *line), width) for line in lines}
    assert {line: lines for line, lines in found.items() if lines} == {}


def test_help_fits_the_narrowest() -> None:
    found = {name: wide(printed(80, name, "--help"), 80) for name in COMMANDS}
    groups = {
        "data": ("check", "convert", "browse"),
        "results": ("merge", "list", "prune"),
        "weights": ("import", "pretrain", "fetch"),
    }
    for name, commands in groups.items():
        found |= {one: wide(printed(80, name, one, "--help"), 80) for one in commands}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_report_is_a_table_on_a_terminal_and_markdown_elsewhere(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", TABLE, *SMOKE)
    seen = printed(80, *words)
    assert "─" in seen
    assert "| Row |" not in seen
    # Each row's name in each part, and under every heading whole lines.
    rules = [line for line in seen.split("\n") if line and set(line) == {"─"}]
    titles = [line for line in seen.split("\n") if line.startswith("Row ")]
    assert len(titles) > 2
    for name in ("FCOS + SCE + DPE", "GFL + DPE"):
        lines = [line for line in seen.split("\n") if line.startswith(f"{name} ")]
        assert len(lines) == len(titles)
    assert len(rules) == 3 * len(titles)  # one below the titles, two between detectors
    capsys.readouterr()
    exit_code(*words)
    assert "| Row |" in capsys.readouterr().out


@pytest.mark.parametrize("width", WIDTHS)
def test_each_part_of_the_claims_has_their_numbers(width: int, stored: Path) -> None:
    seen = printed(width, "claims", TABLE, *SMOKE).split("\n")
    titles = [line for line in seen if line.startswith("Table ")]
    assert all(line.split()[1] == "#" for line in titles)
    assert sum("Verdict" in line for line in titles) == 1
    for place in range(1, len(load.table(TABLE).claims) + 1):
        lines = [line for line in seen if line.split()[:2] == [TABLE, str(place)]]
        assert len(lines) == len(titles), place


def test_names_of_rows_take_fewer_columns_where_others_would_not_fit_beside_them() -> None:
    heads = (Column("a", "A"), Column("b", "B"), *(Column(k, k, right=True) for k in "cd"))
    rows = (("a" * 20, "b" * 20, "3" * 20, "4" * 20),) * 2
    sheet = Sheet("", heads, tuple(tuple(map(text, row)) for row in rows), keys=2)
    assert parts(sheet, 90) == [[0, 1, 2, 3]]
    assert parts(sheet, 64) == [[0, 1, 2], [0, 1, 3]]
    assert parts(sheet, 63) == [[0, 1], [0, 2], [0, 3]]


WORDS = st.text(st.sampled_from("abc/,; 猫é́—"), max_size=40)
ENTRIES = st.one_of(WORDS, st.integers(-(10**9), 10**9))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(WORDS, st.sampled_from(["", "measured", "paper\nCOCO val2017, 5000 images"])),
        min_size=1,
        max_size=9,
    ),
    st.lists(st.lists(ENTRIES, min_size=9, max_size=9), min_size=1, max_size=3),
    st.sampled_from(WIDTHS),
)
def test_any_table_fits(
    titles: list[tuple[str, str]], rows: list[list[str | int]], width: int
) -> None:
    count = len(titles)
    heads = tuple(
        Column(str(i), title, group, right=isinstance(rows[0][i], int))
        for i, (title, group) in enumerate(titles)
    )
    entries = tuple(
        tuple(
            number(float(one)) if isinstance(one, int) else text(one if not head.right else "")
            for one, head in zip(row[:count], heads, strict=True)
        )
        for row in rows
    )
    sheet = Sheet("", heads, entries)
    lines = render(sheet, width).split("\n")
    assert max(map(cells, lines)) <= width
    found = [i for part in parts(sheet, width) for i in part[1:]]
    assert found == list(range(1, count))
    for row in entries:
        for entry, head in zip(row, heads, strict=True):
            if head.right and entry.text:
                assert any(entry.text in line for line in lines)


@given(st.text(st.sampled_from("ab /,猫́"), max_size=60), st.integers(2, 30))
def test_wrapping_keeps_every_character_but_spaces(words: str, room: int) -> None:
    lines = wrap(words, room)
    assert all(cells(line) <= room for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
