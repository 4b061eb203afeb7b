"""``--columns``: a table's columns as the user asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.recipe.columns import choose

ERRORS = ("E_cls", "E_loc", "E_both", "E_dupe", "E_bkg", "E_miss")
TABLE = load.table("tscode-table1")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("AP", ("AP",)),
        ("AP50, AP", ("AP50", "AP")),
        ("AP,AP,+errors", ("AP", *ERRORS)),
        ("errors", ERRORS),
        ("E_loc,E_fp,E_fn", ("E_loc", "E_fp", "E_fn")),
        ("+AP60", (*TABLE.columns, "AP60")),
        ("+errors", (*TABLE.columns, *ERRORS)),
        (" +AP60 , errors", (*TABLE.columns, "AP60", *ERRORS)),
        ("+AP", TABLE.columns),
        ("gflops,AP95", ("gflops", "AP95")),
        ("+APs60,APl90", (*TABLE.columns, "APs60", "APl90")),
    ],
)
def test_columns_replace_or_come_after_the_tables(text: str, columns: tuple[str, ...]) -> None:
    chosen = choose(TABLE, text)
    assert chosen.columns == columns
    assert chosen.rows == TABLE.rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name metrics by commas, as in AP,AP50 or +errors"),
        ("  ", "name metrics by commas"),
        ("AP,", "--columns '': no such metric"),
        ("AP51", "--columns 'AP51': no such metric, did you mean 'AP"),
        ("+error", "did you mean 'errors'? (choices: AP, AP50, "),
        ("ap", "--columns 'ap': no such metric"),
    ],
)
def test_unknown_metrics_are_mistakes(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        choose(TABLE, text)
    assert len(caught.value.mistakes) == 1
    assert message in caught.value.mistakes[0]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        choose(TABLE, "AP,APP,AQ")
    assert len(caught.value.mistakes) == 2


def test_a_table_of_ones_own_may_have_error_columns(tmp_path: Path) -> None:
    recipe = (
        'id = "own"\ntitle = "x"\npaper = "own"\ncolumns = ["AP", "{}"]\n'
        '[[rows]]\nlabel = "a"\ndetector = "fcos-r50"\n'
    )
    path = tmp_path / "own.toml"
    path.write_text(recipe.format("E_loc"))
    assert load.table(str(path)).columns == ("AP", "E_loc")
    path.write_text(recipe.format("E_lok"))
    with pytest.raises(RecipeError, match=r"columns: .*did you mean 'E_loc'"):
        load.table(str(path))
