"""The examples of docs/statistics-examples.md run, and say what they print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_detectors import Made, detect, scenes

PAGE = Path(__file__).parents[2] / "docs" / "statistics-examples.md"
EXAMPLES = re.findall(r"## ([^\n]*)\n.*?```python\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    ground, hard = scenes(rng, 40)
    for image in ground["images"]:
        image |= {"width": 700, "height": 700, "file_name": f"{image['id']}.jpg"}
    (folder / "val.json").write_text(json.dumps(ground))
    for name, made in (("a", Made(misplaces=0.12)), ("b", Made(misplaces=0.06))):
        for seed in range(3):
            found = detect(rng, ground, hard, made)
            (folder / f"{name}{seed}.json").write_text(json.dumps(found))
    return folder


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example(
    title: str,
    code: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, title, "exec"), {})
    printed = capsys.readouterr().out
    assert bool(printed) == ("print(" in code)
    assert "nan" not in printed
