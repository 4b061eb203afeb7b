"""What is wrong, as JSON where that is asked for: an object on stdout, the same words on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Call


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("report", "nosuch", "--format", "json"), "RecipeError"),
        (("show", "nosuch", "--format=json"), "RecipeError"),
        (("report", "tscode-table1", "--nosuch", "--format", "json"), "UsageError"),
        (("nosuch", "--format", "json"), "UsageError"),
        (("results", "list", "--results", "nowhere", "--format", "json"), "StoreError"),
        (("data", "check", "coco:no.json:no", "--format", "json"), "DataError"),
    ],
)
def test_an_error_is_an_object(call: Call, words: tuple[str, ...], kind: str) -> None:
    code, out, err = call(*words)
    found = json.loads(out)["error"]
    assert (code, found["exit_code"], found["kind"]) == (2, 2, kind)
    assert found["messages"]
    assert [line.split(": ", 1)[1] for line in err.splitlines()] == found["messages"]


def test_every_mistake_of_a_recipe_is_a_message(call: Call, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text('id = "wrong"\nrows = 1\npaper = "no"\n')
    code, out, _ = call("check", "wrong.toml", "--format", "json")
    assert code == 2
    assert len(json.loads(out)["error"]["messages"]) > 2


@pytest.mark.parametrize(
    "more", [(), ("--format", "csv"), ("--format", "json", "--format", "markdown")]
)
def test_stdout_is_empty_where_json_is_not_asked_for(call: Call, more: tuple[str, ...]) -> None:
    code, out, err = call("report", "nosuch", *more)
    assert (code, out) == (2, "")
    assert err.startswith("detbench: unknown table 'nosuch'")


def test_what_was_printed_stays_whole(call: Call, tmp_path: Path) -> None:
    """``check`` prints what it found, and ends with 2: its JSON is not followed by another."""
    words = ("check", "tscode-table1", "--rows", "FCOS", "--profile", "smoke", "--format", "json")
    code, out, _ = call(*words, "--set", "training.weights=no.pth")
    assert code == 2
    assert "checks" in json.loads(out)
