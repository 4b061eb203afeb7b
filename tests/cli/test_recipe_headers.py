"""What recipes say of their measurements is what is stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from detbench.cli import recipe_headers
from detbench.recipe import load

RECIPE = '# A table.\n#\n#     detbench run it\n\nid = "it"\n# Measured by hand\n'


def test_the_sentence_ends_the_first_comments_and_replaces_the_last_one() -> None:
    first = recipe_headers.headed(RECIPE, "smoke: AP 1.0 to 2.0, " + "a long place, " * 10)
    lines = first.splitlines()
    assert lines[:3] == RECIPE.splitlines()[:3]
    assert lines[3].startswith("# Measured: smoke: AP 1.0 to 2.0, a long place")
    assert max(map(len, lines)) <= recipe_headers.WIDTH
    again = recipe_headers.headed(first, "smoke: not yet")
    assert again == RECIPE.replace("\n\nid", "\n# Measured: smoke: not yet.\n\nid")
    assert recipe_headers.headed(again, "smoke: not yet") == again


def test_a_stale_one_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "it.toml"
    path.write_text(RECIPE, encoding="utf-8")
    monkeypatch.setattr(load, "tables", lambda: ["it"])
    monkeypatch.setattr(load, "find", lambda kind, name: path)
    monkeypatch.setattr(recipe_headers, "sentence", lambda name: "smoke: not yet")
    assert recipe_headers.main(["--check"]) == 1
    assert f"not what is measured: {load.shown(path)}: python -m" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == RECIPE
    assert recipe_headers.main([]) == 0
    assert recipe_headers.main(["--check"]) == 0
    assert "# Measured: smoke: not yet." in path.read_text(encoding="utf-8")


def test_a_measured_table_says_its_scores_and_a_rows_time() -> None:
    said = recipe_headers.sentence("tscode-table1")
    assert said.startswith("smoke: AP 3")
    assert "each (median, beside other work), seed 0, 12 of 12 trainings, in results/" in said
    assert said.endswith("not yet")
