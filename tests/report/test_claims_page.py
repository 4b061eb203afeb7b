"""docs/claims.md is of what is committed; what is not is told (``tests/check.py`` asks of all)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detbench.report import claims_page, scoreboard_plot

ROOT = Path(__file__).parents[2]
SOME = ["tscode-table3", "tsd-table2"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """What is kept of two tables, beside the committed store, and its page."""
    monkeypatch.setattr(claims_page, "claimed", lambda: SOME)
    kept = json.loads((ROOT / "results" / "claims.json").read_text(encoding="utf-8"))
    assert set(SOME) < set(kept["basis"])
    kept["basis"] = {name: kept["basis"][name] for name in SOME}
    for one in (ROOT / "results").iterdir():
        if one.is_dir():
            (tmp_path / one.name).symlink_to(one)
    (tmp_path / "claims.json").write_text(json.dumps(kept))
    (tmp_path / "claims.md").write_text(claims_page.page(kept), encoding="utf-8")
    drawn = scoreboard_plot.draw(kept["scores"])
    (tmp_path / "scoreboard.svg").write_text(drawn, encoding="utf-8")
    return tmp_path / "claims.json", tmp_path / "claims.md"


def check(files: tuple[Path, Path]) -> int:
    folder, page = str(files[0].parent), str(files[1])
    more = ["--page", page, "--readme", str(ROOT / "README.md")]
    return claims_page.main(["--check", "--results", folder, *more])


def test_the_committed_page_is_what_is_kept() -> None:
    kept = json.loads((ROOT / "results" / "claims.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "claims.md").read_text(encoding="utf-8") == claims_page.page(kept)


def test_the_first_page_and_its_plot_are_of_what_is_kept() -> None:
    kept = json.loads((ROOT / "results" / "claims.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert claims_page.filled(readme, kept) == readme
    drawn = (ROOT / "docs" / "scoreboard.svg").read_text(encoding="utf-8")
    assert drawn == scoreboard_plot.draw(kept["scores"])
    other = {**kept, "scores": [{**kept["scores"][0], "contradicted": 77}], "table": "| T |\n"}
    filled = claims_page.filled(readme, other)
    assert "| 77 |" in filled
    assert "<!-- table -->\n| T |\n<!-- end -->" in filled
    assert ">77</text>" in scoreboard_plot.draw(other["scores"])
    claims = sum(one["claims"] for one in kept["scores"])
    assert f"The five papers make {claims} claims" in readme


def test_a_plot_of_nothing_is_its_legend() -> None:
    assert scoreboard_plot.draw([]).count("<rect") == 1 + 5


def test_a_stale_page_is_told(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert check(files) == 0
    assert capsys.readouterr().err == ""
    kept = json.loads(files[0].read_text())
    kept["basis"]["tsd-table2"] = "0" * 16
    files[0].write_text(json.dumps(kept))
    assert check(files) == 1
    assert capsys.readouterr().err.startswith("tsd-table2: its verdicts are stale: python -m ")
    kept["rows"][0][-1] = "another verdict"
    files[0].write_text(json.dumps(kept))
    assert check(files) == 1
    assert "claims.md is not what" in capsys.readouterr().err
