"""docs/claims.md is of what is committed; what is not is told (``tests/check.py`` asks of all)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detbench.report import claims_page

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
    return tmp_path / "claims.json", tmp_path / "claims.md"


def check(files: tuple[Path, Path]) -> int:
    folder, page = str(files[0].parent), str(files[1])
    return claims_page.main(["--check", "--results", folder, "--page", page])


def test_the_committed_page_is_what_is_kept() -> None:
    kept = json.loads((ROOT / "results" / "claims.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "claims.md").read_text(encoding="utf-8") == claims_page.page(kept)


def test_a_stale_page_is_told(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert check(files) == 0
    assert capsys.readouterr().err == ""
    kept = json.loads(files[0].read_text())
    kept["basis"]["tsd-table2"] = "0" * 16
    files[0].write_text(json.dumps(kept))
    assert check(files) == 1
    assert capsys.readouterr().err.startswith("tsd-table2: its verdicts are stale: python -m ")
    kept["rows"][0][-1] = "contradicted"
    files[0].write_text(json.dumps(kept))
    assert check(files) == 1
    assert "claims.md is not what" in capsys.readouterr().err
