"""Numbers keep the digits that papers print them with."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.recipe.printed import Printed

TABLE = """
id = "mine"
title = "Mine"
paper = "own"
columns = ["AP", "gflops", "openimages"]

[[rows]]
label = "one"
detector = "fcos-r50"
heads.both = { kind = "custom", target = "mine:Head", arguments = { published = 0.50 } }
published = { AP = 40.10, gflops = 295.70, openimages = 70 }
"""


def written(path: Path, text: str) -> list[dict[str, str]]:
    path.write_text(text, encoding="utf-8")
    return [{key: one.written for key, one in row.published.items()} for row in table(path).rows]


def table(path: Path):
    return load.table(str(path))


def test_text_is_kept_as_the_recipe_has_it(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    assert written(own, TABLE) == [{"AP": "40.10", "gflops": "295.70", "openimages": "70"}]
    row = table(own).rows[0]
    assert row.published == {"AP": 40.1, "gflops": 295.7, "openimages": 70.0}
    # What is somebody's own is left alone.
    assert row.heads
    assert row.heads["both"]["arguments"] == {"published": 0.5}


def test_another_text_of_the_same_number_is_another_table(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    written(own, TABLE)
    assert written(own, TABLE.replace("40.10", "40.1"))[0]["AP"] == "40.1"


@pytest.mark.parametrize("text", ["4.01e1", "+40.1", "4_0.1"])
def test_other_notations_are_numbers_without_a_text(tmp_path: Path, text: str) -> None:
    found = written(tmp_path / "mine.toml", TABLE.replace("40.10", text))
    assert found[0]["AP"] == ""
    assert table(tmp_path / "mine.toml").rows[0].published["AP"] == 40.1


def test_grids_and_sweeps_keep_it() -> None:
    first = load.table("double-head-table1").rows[0].published
    assert {key: one.written for key, one in first.items()} == {
        "AP": "36.8",
        "AP50": "58.7",
        "AP75": "40.4",
        "APs": "21.2",
        "APm": "40.1",
        "APl": "48.8",
    }
    swept = [row.published for row in load.table("double-head-figure6").rows if row.published]
    assert [one["AP"].written for one in swept] == ["39.7", "40.3", "39.8"]


def test_it_is_a_number_everywhere_else() -> None:
    one = Printed("295.70")
    assert one == 295.7
    assert json.dumps({"a": one}) == '{"a": 295.7}'
    assert f"{one} {one:g}" == "295.7 295.7"
    assert type(one + 1.0) is float
    for same in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert (same, same.written) == (295.7, "295.70")
    row = load.table("tsd-table5").rows[6]
    dumped = row.model_dump(mode="json")["published"]
    assert json.dumps(dumped["total_params_m"]) == "76.39"
    again = row.model_copy(update={"label": "copy"}).published["total_params_m"]
    assert again.written == "76.39"


@pytest.mark.parametrize("value", ['"40.1"', "true", "[40.1]", "{ AP = 40.1 }"])
def test_what_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(RecipeError, match=r"published\.AP: .*expected a number"):
        written(tmp_path / "mine.toml", TABLE.replace("40.10", value))
