"""Every test of a command runs it in an empty folder, with nothing set outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Call, exit_code


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DETBENCH_RESULTS", "DETBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command line: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code(*words)
        return code, *capsys.readouterr()

    return run
