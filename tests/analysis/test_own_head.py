"""A user's own two-stage head, named in a recipe file, is analysed without code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detbench.analysis import kinds, regions, subjects, weights
from detbench.analysis.kind import Asked
from detbench.analysis.opened import Opened
from detbench.analysis.regions import READ
from detbench.analysis.sliding_window import overlaps, windows
from detbench.assembly import build_detector
from detbench.errors import RecipeError
from detbench.results.store import Store
from detbench.runner.plan import Request
from detbench.training import weights as files

RECIPE = """
extends = "faster-rcnn-r50"
id = "blind"
title = "A head that sees nothing"
source = "mine"
fidelity = "text-only"

[detector.heads]
both = { kind = "custom", target = "own_blind:Blind", arguments = { width = 4 } }
"""
MODULE = """
from torch import nn

class Blind(nn.Module):
    def __init__(self, width, **told):
        super().__init__()
        self.channels = width

    def forward(self, features):
        return features.new_ones(len(features), self.channels)
"""
REQUEST = Request("", "smoke", overrides=("data.size=64", "data.val=3"))


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> subjects.Subject:
    """A checkpoint of it whose boxes are not moved."""
    (tmp_path / "own_blind.py").write_text(MODULE)
    (tmp_path / "blind.toml").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cell, _, _ = subjects._of_recipe("blind.toml", REQUEST)
    torch.manual_seed(0)
    network = build_detector(cell.detector, 12)
    with torch.no_grad():
        network.main.loc.weight.zero_()
        network.main.loc.bias.zero_()
    files.save(tmp_path / "w.pt", network)
    found, _ = subjects.find(
        "blind.toml@w.pt", kinds.kind("sliding-window"), REQUEST, Store(tmp_path / "results")
    )
    return found[0]


def test_a_head_that_ignores_its_input_says_the_same_everywhere(
    subject: subjects.Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(subject, Path("data"), torch.device("cpu"))
    objects, image = opened.objects(1), opened.image(1)
    box, label = objects.boxes[0], int(objects.labels[0])
    laid, _ = windows(box, (64, 64), 4, seed=0)
    maps = regions.Image(opened, image)
    said = maps.say(laid, label, box)
    assert set(said) == {READ}
    assert np.ptp(said[READ].scores) < 1e-6
    assert 0 < said[READ].scores[0] < 1
    assert said[READ].ious == pytest.approx(overlaps(laid, box), abs=1e-4)
    monkeypatch.setattr(regions, "AT_ONCE", 7)
    again = maps.say(laid, label, box)[READ]
    assert again.ious == pytest.approx(said[READ].ious, abs=1e-6)
    assert len(maps.say(laid[:0], label, box)[READ].scores) == 0
    table = kinds.kind("sliding-window").measure(Asked(subject, 1, {"windows": 40.0}, opened))
    assert set(table["image"]) == {1}
    assert table["n"].sum() == pytest.approx(40 * len(objects.labels), abs=10)
    with pytest.raises(RecipeError, match="none of its heads begins with an fc layer"):
        weights.measure(Asked(subject, 0, {}, opened))
