"""Two processes that share one GPU, by gloo, train as one does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "training"))

from together import assert_close, together

STEADY = ('training.optimizer={kind="sgd",lr=0.01}', "training.schedule.rise=0")
"""As in the CPU's test: AdamW's first steps turn rounding into per cents."""

LIVE = (
    "training.weights=none",
    "detector.backbone.norm=batch",
    "detector.backbone.frozen_stages=0",
    "training.optimizer.lr=2e-3",
)
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
