"""The written reference says what the commands' help says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detbench.cli import main as entry
from detbench.cli import reference


@pytest.fixture(scope="module")
def text() -> str:
    return reference.render()


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^##+ (detbench .*)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands() -> list[list[str]]:
    """Every command as words, the groups' included."""
    found = []
    for name in entry.COMMANDS:
        inner = getattr(entry._load(name), "commands", {})
        found += [[name, one] for one in inner] or [[name]]
    return found


def test_every_command_has_its_section(text: str) -> None:
    wanted = {f"detbench {' '.join(words)}" for words in commands()}
    groups = {f"detbench {words[0]}" for words in commands() if len(words) > 1}
    assert set(sections(text)) == wanted | groups
    assert len(wanted) >= 24


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_options_arguments_and_examples_are_those_of_the_help(words: list[str], text: str) -> None:
    help = CliRunner().invoke(entry.app, [*words, "--help"], terminal_width=200).stdout
    section = sections(text)[f"detbench {' '.join(words)}"]
    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help, flags=re.M)) - {"--help"}
    written = set(re.findall(r"^\| `(?:-\w, )?(--[a-z-]+)", section, flags=re.M))
    assert written == options
    examples = [line.strip() for line in help.partition("Examples:\n")[2].strip().splitlines()]
    assert examples
    assert all(f"\n{line}\n" in section for line in examples)
    own = f"detbench {' '.join(words)}"
    assert all(line.startswith(own) or line.startswith("torchrun ") for line in examples)


def test_check_tells_an_old_file(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cli.md"
    assert reference.main(["--check", str(path)]) == 1
    assert f"python -m detbench.cli.reference > {path}" in capsys.readouterr().out
    path.write_text(text, encoding="utf-8")
    assert reference.main(["--check", str(path)]) == 0
    path.write_text(text + "\n", encoding="utf-8")
    assert reference.main(["--check", str(path)]) == 1


def test_it_is_the_same_in_any_terminal(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "detbench.cli.reference"],
        capture_output=True,
        text=True,
        env={"COLUMNS": "40", "NO_COLOR": "1", "PATH": "", "PYTHONHASHSEED": "7"},
        check=True,
    )
    assert done.stdout == text
