"""Files of the current folder are no libraries, whatever their names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from detbench import children
from detbench.measure.probe import probe
from detbench.runner.launchers.local import CELL_COMMAND

NAMES = ("random", "json", "queue", "torch", "numpy", "pydantic", "detbench")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        text = "open('ran', 'a').write(__name__)\nraise SystemExit(__name__ + '.py ran')\n"
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_children_start_without_the_current_folder(folder: Path) -> None:
    """Of ``doctor``, of cells, of what looks up weights."""
    assert not probe().get("error")
    for command in (CELL_COMMAND, children.command("detbench.training.fits")):
        done = subprocess.run(command, input="{}", capture_output=True, text=True, check=False)
        assert done.returncode  # of a job that is none
        assert "py ran" not in done.stderr
    assert not (folder / "ran").exists()


def test_the_module_too(folder: Path) -> None:
    words = [sys.executable, "-m", "detbench", "list", "--format", "json"]
    # Python itself looks for detbench in the current folder first.
    (folder / "detbench.py").unlink()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)
    assert not (folder / "ran").exists()


def test_no_command_line_is_written_by_hand() -> None:
    """Every process in Python is started by ``children.command``."""
    root = Path(children.__file__).parent
    found = [path.name for path in root.rglob("*.py") if "sys.executable, " in path.read_text()]
    assert found == ["children.py"]
