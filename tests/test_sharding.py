"""What a detector draws or divides by goes through ``detbench.sharding``, or teams differ."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import detbench

ROOT = Path(detbench.__file__).parent
FILES = sorted(path for part in ("stages", "detectors") for path in (ROOT / part).rglob("*.py"))
ALONE = {
    r"torch\.(rand|randn|randint|randperm|multinomial|bernoulli)\w*\(": "sharding.uniform",
    r"\.sum\(\)\.clamp\(": "sharding.normaliser",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_drawn_or_counted_for_one_process_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern, instead in ALONE.items():
        found = re.search(pattern, text)
        assert found is None, f"{found and found[0]} in {path.name}: use {instead}"
