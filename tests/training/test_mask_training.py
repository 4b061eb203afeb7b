"""A detector with a mask head is trained, stopped and resumed as others are."""

from __future__ import annotations

from pathlib import Path

import pytest
import team
from test_loop import assert_equal

from detbench.training import checkpoint, curve, loop

CASE = ("mask-rcnn-r50", "training.iterations=3", "data.size=32", "training.input.short=32")


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole, cut = ([str(tmp_path / name), *CASE, "data.val=1"] for name in ("whole", "cut"))
    with pytest.raises(team.Stop):
        team.run({"cases": [cut], "stop": [0, 2]})
    assert checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT)["iteration"] == 2
    team.run({"cases": [whole, cut]})
    found = [checkpoint.load(tmp_path / name / loop.CHECKPOINT) for name in ("whole", "cut")]
    assert_equal(*found)
    lines = [list(curve.read(tmp_path / name / loop.CURVE)) for name in ("whole", "cut")]
    assert lines[0] == lines[1]
    assert all(line["mask"] > 0 for line in lines[0])
