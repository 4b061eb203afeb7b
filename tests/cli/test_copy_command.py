"""``detbench copy``: every recipe can be started from, and a copy is the original."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import tomlkit
from typer.testing import CliRunner

from detbench.cli import main as entry
from detbench.recipe import copying, load, resolve
from detbench.recipe.digest import digest

RUN = CliRunner()


def copy(*words: str) -> str:
    """What is said on stderr; the command must succeed and print nothing."""
    result = RUN.invoke(entry.app, ["copy", *words], prog_name="detbench")
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    return result.stderr


def refusal(*words: str) -> str:
    result = RUN.invoke(entry.app, ["copy", *words], prog_name="detbench")
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("name", load.tables())
def test_a_table_copy_shares_every_cell(name: str, tmp_path: Path) -> None:
    target = tmp_path / "Meine Tabelle.toml"
    copy(name, str(target))
    own = load.table(str(target))
    assert (own.id, own.paper) == ("meine-tabelle", "own")
    for profile in ("smoke", "paper"):
        ours = [digest(row.cell) for row in resolve.cells(own, profile) if row.cell]
        theirs = [digest(row.cell) for row in resolve.cells(name, profile) if row.cell]
        assert ours == theirs
    assert own.model_copy(update={"id": name, "paper": "x"}) == load.table(name).model_copy(
        update={"paper": "x"}
    )


RUNNABLE = [name for name in load.tables() if any(row.detector for row in load.table(name).rows)]


@pytest.mark.parametrize("name", RUNNABLE)
def test_the_example_row_at_the_end_is_valid(name: str, tmp_path: Path) -> None:
    target = tmp_path / "own.toml"
    copy(name, str(target))
    text = target.read_text(encoding="utf-8")
    before, mark, example = text.rpartition("# [[rows]]")
    assert mark
    target.write_text(before + re.sub(r"^# ", "", mark + example, flags=re.M), encoding="utf-8")
    rows = load.table(str(target)).rows
    assert len(rows) == len(load.table(name).rows) + 1
    [added] = [row for row in rows if row.label.endswith("my classification head")]
    assert added.heads is not None
    assert added.heads["cls"]["kind"] == "custom"


@pytest.mark.parametrize("name", load.detectors())
def test_a_detector_copy_is_the_same_detector(name: str, tmp_path: Path) -> None:
    target = tmp_path / "mine.toml"
    copy(name, str(target))
    own = load.detector(str(target))
    assert own.id == "mine"
    assert own.detector == load.detector(name).detector
    assert own.published == load.detector(name).published


@pytest.mark.parametrize("name", ["double-head-tsd", "decoupled-double-head-ext"])
def test_an_example_is_found_by_name_and_its_parent_by_path(name: str, tmp_path: Path) -> None:
    target = tmp_path / "sub" / "mine.toml"
    target.parent.mkdir()
    copy(name, str(target))
    shipped = load.root() / "examples" / f"{name}.toml"
    assert load.detector(str(target)).detector == load.detector(str(shipped)).detector
    assert f"detbench train {target}" in target.read_text(encoding="utf-8")


def test_schedules_and_profiles_can_be_copied(tmp_path: Path) -> None:
    for name in load.profiles():
        copy(name, str(tmp_path / f"p-{name}.toml"))
        own = load.profile(str(tmp_path / f"p-{name}.toml"))
        assert own == load.profile(name).model_copy(update={"id": f"p-{name}"})
    for name in load.schedules():
        target = tmp_path / f"s-{name}.toml"
        copy(name, str(target))
        assert load.schedule(str(target)).training == load.schedule(name).training


def test_the_commands_in_the_comments_name_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = copy("tscode-table1", "mein versuch.toml")
    assert "detbench run 'mein versuch.toml'" in said
    text = Path("mein versuch.toml").read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if re.match(r"#\s+detbench ", line)]
    assert len(commands) >= 5
    assert all("'mein versuch.toml'" in line for line in commands)


def test_a_copy_of_a_copy_with_a_detector_beside_it(tmp_path: Path) -> None:
    copy("fcos-r50", str(tmp_path / "mine.toml"))
    (tmp_path / "table.toml").write_text(
        'id = "a"\ntitle = "A"\npaper = "own"\ncolumns = ["AP"]\n\n'
        '[[rows]]\nlabel = "mine"\ndetector = "mine.toml"\n'
    )
    other = tmp_path / "elsewhere"
    other.mkdir()
    copy(str(tmp_path / "table.toml"), str(other / "second.toml"))
    [row] = resolve.cells(str(other / "second.toml"), "smoke")
    [first] = resolve.cells("tscode-table1", "smoke", rows="FCOS")
    assert row.cell is not None
    assert first.cell is not None
    assert row.cell.detector == first.cell.detector


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    target = tmp_path / "own.toml"
    target.write_text("mine")
    assert "is there already: name another file, or --force" in refusal("fcos-r50", str(target))
    assert target.read_text() == "mine"
    copy("fcos-r50", str(target), "--force")
    assert load.detector(str(target)).id == "own"
    assert "this is the recipe itself" in refusal(str(target), str(target), "--force")


def test_bad_input(tmp_path: Path) -> None:
    said = refusal("tscode-tabel1", str(tmp_path / "a.toml"))
    assert "unknown recipe 'tscode-tabel1', did you mean 'tscode-table1'?" in said
    assert "ends in .toml" in refusal("fcos-r50", str(tmp_path / "a.yaml"))
    assert "this is a folder" in refusal("fcos-r50", str(_folder(tmp_path / "b.toml")))
    said = refusal("fcos-r50", str(tmp_path / "none" / "a.toml"))
    assert f"folder {tmp_path / 'none'}: cannot be written (No such file or directory)" in said
    assert "no such file" in refusal(str(tmp_path / "c.toml"), str(tmp_path / "a.toml"))
    (tmp_path / "broken.toml").write_text("rows = [")
    assert "not valid TOML" in refusal(str(tmp_path / "broken.toml"), str(tmp_path / "a.toml"))
    assert not list(tmp_path.glob("*a.toml"))
    assert not list(tmp_path.glob(".*"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "write_text", refuse)
    assert "cannot be written (Permission denied)" in refusal("fcos-r50", str(tmp_path / "a.toml"))


def test_any_form_is_followed_and_all_else_stays_as_it_is(tmp_path: Path) -> None:
    """Rows before the id, inline, in other quotes; comments, order and blanks."""
    text = (
        "rows = [{ label = \"x\", detector = 'd.toml' }]  # one\n\n'id'   = 'a'  # two\n"
        'title = """A\nid = "no"\n"""\n"paper"="tscode"#three\n\n# four\ncolumns = [\n  "AP",\n]\n'
    )
    (tmp_path / "inline.toml").write_text(text)
    copy("fcos-r50", str(tmp_path / "d.toml"))
    target = tmp_path / "sub" / "b.toml"
    target.parent.mkdir()
    copy(str(tmp_path / "inline.toml"), str(target))
    own, original = load.table(str(target)), load.table(str(tmp_path / "inline.toml"))
    assert (own.id, own.paper) == ("b", "own")
    assert own == original.model_copy(update={"id": "b", "paper": "own"})
    wanted = text.replace("'d.toml'", f'"{tmp_path / "d.toml"}"').replace("'a'", '"b"')
    assert wanted.replace('"paper"="tscode"', '"paper"="own"') in target.read_text()


def test_a_copy_that_would_say_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(found: tomlkit.TOMLDocument) -> str:
        return found.as_string().replace("official-config", "text-only")

    monkeypatch.setattr(tomlkit, "dumps", other)
    said = refusal("fcos-r50", str(tmp_path / "b.toml"))
    assert "is written in a way that detbench copy cannot follow" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "id"), [("My Table", "my-table"), ("a__b", "a-b"), ("тест", "own"), ("-x-", "x")]
)
def test_ids_come_from_the_files_name(name: str, id: str) -> None:
    assert copying.new_id(Path(f"{name}.toml")) == id
