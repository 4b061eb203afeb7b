"""Every test that is written runs: pytest collects each file, and skips none of their folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = {file.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py")}


def collected_in(folder: Path) -> set[str]:
    """Files of the tests that pytest finds in ``folder``, of which it runs none."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-n", "0", "-m", ""]
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    places = (folder / line.partition(": ")[0] for line in done.stdout.splitlines() if ": " in line)
    return {place.relative_to(folder).as_posix() for place in places if place.suffix == ".py"}


def test_every_file_of_tests_is_collected(
    pytestconfig: pytest.Config, collected: set[Path]
) -> None:
    """Pytest does not enter folders of some names, ``build`` among them."""
    assert len(FILES) > 100
    asked = [pytestconfig.invocation_params.dir / argument for argument in pytestconfig.args]
    if asked == [TESTS]:  # this very run looks for all
        found = {path.relative_to(TESTS).as_posix() for path in collected}
    else:
        found = {name.removeprefix("tests/") for name in collected_in(TESTS.parent)}
    assert found == FILES


def test_a_folder_that_pytest_skips_is_seen(tmp_path: Path) -> None:
    """So that the test above can fail."""
    for name in ("build", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text("def test_it(): ...")
    assert collected_in(tmp_path) == {"kept/test_kept.py"}


def test_no_two_files_share_a_name() -> None:
    """Without packages, pytest imports test files by their names alone."""
    names = [Path(file).name for file in FILES]
    assert sorted(set(names)) == sorted(names)


def test_no_test_is_in_a_file_of_another_name() -> None:
    helpers = {
        file for file in TESTS.rglob("*.py") if file.relative_to(TESTS).as_posix() not in FILES
    }
    assert [
        file for file in helpers if re.search(r"^def test_", file.read_text(), re.MULTILINE)
    ] == []
