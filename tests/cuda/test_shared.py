"""Two processes that share one GPU, by gloo, train as one does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "training"))

from together import LIVE, STEADY, assert_close, together

CASES = {
    "dense": ("gfl-r50", *STEADY),
    "batch norm": ("fcos-r50", *LIVE),
    "totals": ("ddod-r50", *STEADY),
    "regions": ("faster-rcnn-r50", *STEADY),
}


@pytest.mark.parametrize("name", CASES)
def test_two_processes_on_one_gpu(tmp_path: Path, name: str) -> None:
    for world in (1, 2):
        case = [str(tmp_path / f"{world}" / name), *CASES[name]]
        together(tmp_path / f"{world}", world, cases=[case], device="cuda:0")
    assert_close(tmp_path / "1" / name, tmp_path / "2" / name, tolerance=1e-3)
