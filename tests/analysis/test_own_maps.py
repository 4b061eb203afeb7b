"""Maps, gradients and shifts of whole detectors, those of a user's own recipe file among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_opened import measured, opened

from detbench.analysis import backward, kinds, moving
from detbench.analysis.lines import MEAN, OBJECT, PICTURE, unpack
from detbench.analysis.places import of_image
from detbench.errors import RecipeError

RECIPE = """
extends = "faster-rcnn-r50"
id = "own"
title = "Parts of one's own"
source = "mine"
fidelity = "text-only"

"""
BLIND = (
    RECIPE
    + """
[detector.heads]
both = { kind = "custom", target = "own_maps:Blind", arguments = { width = 4 } }
"""
)
MOVED = (
    RECIPE
    + """
[detector.sampling]
cls = { kind = "roi-align", size = 7 }
loc = { kind = "custom", target = "own_maps:Moved", arguments = { right = 0.25 } }

[detector.heads]
cls = { kind = "fc" }
loc = { kind = "fc" }
"""
)
MODULE = """
import torch
from torch import nn

from detbench.stages.sampling import Pooled


class Blind(nn.Module):
    def __init__(self, width, **told):
        super().__init__()
        self.channels = width

    def forward(self, features):
        return features.new_ones(len(features), self.channels)


class Moved(nn.Module):
    shifts = False

    def __init__(self, right, **told):
        super().__init__()
        self.size, self.right = 3, right

    def forward(self, pyramid, rois, embedding):
        moved = rois.clone()
        moved[:, 1::2] += self.right * (rois[:, 3] - rois[:, 1])[:, None]
        return Pooled(pyramid.align(moved, self.size), moved[:, 1:])
"""
SENSITIVITY, GRADIENTS, SHIFTS = map(kinds.kind, ("sensitivity", "gradients", "shifts"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_maps.py").write_text(MODULE)
    (tmp_path / "blind.toml").write_text(BLIND)
    (tmp_path / "moved.toml").write_text(MOVED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def boxes_stay(network: Any) -> None:
    network.main.loc.weight.zero_()
    network.main.loc.bias.zero_()


def test_a_head_that_ignores_its_input_gives_flat_maps(own: Path) -> None:
    """Its boxes are the proposals, so that their map is known; nothing is owed to the pyramid."""
    made = opened(own, "blind.toml", SENSITIVITY, boxes_stay)
    table = measured(SENSITIVITY, made)
    objects = table["what"] == OBJECT
    assert set(table["part"][objects]) == {"own level", "P2", "P3", "P4", "P5"}
    assert table["range_cls"][objects].max() < 1e-6
    assert np.isnan(table["apart"][objects]).all()
    assert table["border_loc"][objects] == pytest.approx(0)
    assert (table["range_loc"][objects] > 0.5).all()
    [picture] = np.flatnonzero(table["what"] == PICTURE)
    assert unpack(table["values"][picture])[3].shape == (13, 13)
    gradients = measured(GRADIENTS, made)
    seen = gradients["what"] == OBJECT
    assert seen.sum() == 2 * len(made[1].objects(1).labels)
    assert gradients["empty_cls"][seen].tolist() == [1.0] * seen.sum()
    assert np.isnan(gradients["inside_cls"][seen]).all()


def test_a_proposal_moved_by_ones_own_sampling_has_the_right_arrow(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "LEAST", 0.0)
    made = opened(own, "moved.toml", SHIFTS, boxes_stay)
    seen = moving.of_regions(*_asked(made))
    assert seen
    for one in seen:
        assert set(one.moved) == {"loc, proposal"}
        before, after = one.moved["loc, proposal"].region
        wide = before[2] - before[0]
        assert after - before == pytest.approx(np.array([0.25, 0, 0.25, 0]) * wide, abs=1e-3)
    with pytest.raises(RecipeError, match="shifts does not fit this detector"):
        opened(own, "blind.toml", SHIFTS, boxes_stay)


def _asked(made: tuple[Any, Any]) -> tuple[Any, Any, list[tuple[np.ndarray, int]]]:
    objects = made[1].objects(1)
    pairs = list(zip(objects.boxes, objects.labels.tolist(), strict=True))
    return made[1], made[1].image(1), pairs


def tell(*outputs: float) -> Any:
    """Both shift networks of TSD say the same everywhere."""

    def change(network: Any) -> None:
        for option in network.main.sampling.tasks:
            last = option.network[-1]
            last.weight.zero_()
            last.bias.copy_(torch.tensor(outputs).repeat_interleave(len(last.bias) // 2))

    return change


def test_tsds_shifts_are_those_its_networks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gamma is 0.01 under smoke: outputs of 20 and -10 shift by 0.2 and -0.1 of the proposal."""
    monkeypatch.setattr(moving, "LEAST", 0.0)
    made = opened(tmp_path, "tsd-r50", SHIFTS, tell(20.0, -10.0))
    for one in moving.of_regions(*_asked(made)):
        assert set(one.moved) == {"cls, points", "loc, proposal"}
        before, after = one.moved["loc, proposal"].region
        sides = before[2:] - before[:2]
        by = np.array([0.2, -0.1]) * sides
        assert after - before == pytest.approx(np.tile(by, 2), abs=1e-3)
        points = one.moved["cls, points"]
        assert points.before.shape == (9, 2)
        assert points.before.mean(axis=0) == pytest.approx((before[:2] + before[2:]) / 2, abs=1e-3)
        assert points.after - points.before == pytest.approx(np.tile(by, (9, 1)), abs=1e-3)
    table = measured(SHIFTS, made)
    counts = [(table["what"] == one).sum() for one in (OBJECT, MEAN, PICTURE)]
    assert counts == [2 * len(made[1].objects(1).labels), 2, 2]


def test_without_a_proposal_of_its_own_an_object_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "LEAST", 1.1)
    table = measured(SHIFTS, opened(tmp_path, "tsd-r50", SHIFTS, tell(0.0, 0.0)))
    assert len(table["image"]) == 0


def offsets(network: Any) -> None:
    """cls reads a cell to the right, loc half a cell up; y comes before x."""
    for head, (y, x) in zip(network.heads.tasks, ((0.0, 1.0), (-0.5, 0.0)), strict=True):
        bias = head.convs[0].offset.bias
        bias.copy_(torch.tensor([y, x]).repeat(len(bias) // 2))


def test_deformable_towers_read_where_their_offsets_say(tmp_path: Path) -> None:
    made = opened(tmp_path, "ddod-r50", SHIFTS, offsets)
    places = of_image(made[1], made[1].image(1))
    detector, image, pairs = _asked(made)
    for (box, label), one in zip(pairs, moving.of_places(detector, image, pairs), strict=True):
        level = places.own_level(box, label)
        stride = places.levels[level].stride
        row, column, _ = places.best(level, box, label)
        middle = places.levels[level].points[row, column].numpy()
        cls, loc = one.moved["cls, convs.0.conv"], one.moved["loc, convs.0.conv"]
        scale = made[1].prepared(image).scale[0]
        assert cls.before.mean(axis=0) * scale == pytest.approx(middle)
        assert np.ptp(cls.before, axis=0) * scale == pytest.approx([2 * stride] * 2)
        assert (cls.after - cls.before) * scale == pytest.approx(np.tile([stride, 0], (9, 1)))
        assert (loc.after - loc.before) * scale == pytest.approx(np.tile([0, -stride / 2], (9, 1)))


def flat(network: Any) -> None:
    """Every place says the same: a score, and a box of four strides around it."""
    for layer in (network.predictor.cls, network.predictor.loc):
        layer.weight.zero_()
    network.predictor.loc.bias.fill_(2.0)
    network.predictor.scales.fill_(1.0)


def test_a_dense_detector_that_says_the_same_everywhere(tmp_path: Path) -> None:
    made = opened(tmp_path, "fcos-r50", SENSITIVITY, flat)
    table = measured(SENSITIVITY, made)
    objects = table["what"] == OBJECT
    known = objects & np.isfinite(table["range_cls"])
    assert known.any()
    assert table["range_cls"][known].max() < 1e-6
    detector, image, pairs = _asked(made)
    box, label = pairs[0]
    places = of_image(detector, image)
    scale = detector.prepared(image).scale
    aim = box * np.array(scale * 2)
    for name, one in places.fields(box, label, 0.5).items():
        stride = 2 ** int(name[1:])
        size = detector.prepared(image).sizes[0].tolist()
        for row, y in enumerate(one.ys):
            for column, x in enumerate(one.xs):
                middle = (aim[:2] + aim[2:]) / 2 + np.array([x, y]) * (aim[2:] - aim[:2])
                low = np.maximum(middle - 2 * stride, 0)
                high = np.minimum(middle + 2 * stride, size[::-1])
                shared = np.minimum(high, aim[2:]) - np.maximum(low, aim[:2])
                both = np.prod(np.maximum(shared, 0))
                union = np.prod(high - low) + np.prod(aim[2:] - aim[:2]) - both
                assert one.loc[row, column] == pytest.approx(both / union, abs=1e-4)


def test_levels_that_regions_are_read_from(tmp_path: Path) -> None:
    """An image whose levels are all one number each: the level is what the head is told."""
    from detbench.analysis.regions import Image

    made = opened(tmp_path, "faster-rcnn-r50", SENSITIVITY, lambda network: None)
    whole = Image(made[1], made[1].image(1))
    with torch.inference_mode():
        for number, level in enumerate(whole.pyramids.cls.levels):
            level.fill_(number)
    box = np.array([[10.0, 10, 30, 30]])
    for number in range(4):
        one = whole.of_level(number)
        assert one.pyramids.shared == whole.pyramids.shared
        pooled = one.pyramids.cls.align(one.rois(box), 2)
        assert pooled.unique().tolist() == [number]


def linear(network: Any) -> None:
    """One class's logit of a place is the sum of the second channel over it and its neighbours."""
    network.predictor.cls.weight.zero_()
    network.predictor.cls.weight[:, 1] = 1.0
    network.predictor.loc.weight.zero_()
    network.predictor.loc.bias.fill_(2.0)


def test_a_known_linear_head_gives_the_known_cam(tmp_path: Path) -> None:
    """Without a tower: the channel's weight is 9 / cells, of the border's places fewer."""
    towers = ("heads.cls.depth=0", "heads.loc.depth=0")
    made = opened(tmp_path, "fcos-r50", GRADIENTS, linear, *towers)
    detector, image, pairs = _asked(made)
    asked = backward.Dense(detector, image)
    box, label = pairs[0]
    own, found = asked.cams(box, label)
    assert set(found) == {"P3", "P4", "P5", "P6", "P7"}
    assert own in found
    for n, (level, one) in enumerate(zip(asked.levels, found.values(), strict=True)):
        height, width = level.shape[-2:]
        row, column, _ = asked.places.best(n, box, label)
        rows, columns = (
            min(at + 2, end) - max(at - 1, 0) for at, end in ((row, height), (column, width))
        )
        weight = rows * columns / (height * width)
        expected = weight * level[0, 1].detach().double().clamp(min=0).numpy()
        assert one.cls == pytest.approx(expected[: one.cls.shape[0], : one.cls.shape[1]], rel=1e-4)
        assert not one.loc.any()


TSCODE = ('features={cls = {kind = "sce"}, loc = {kind = "dpe"}}',)


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("tsd-r50", ()),
        ("decoupled-rcnn-r50", ()),
        ("double-head-r50", ()),
        ("ddod-r50", ()),
        ("fcos-r50", TSCODE),
    ],
)
def test_gradients_reach_the_pyramid_of_every_kind_of_head(
    tmp_path: Path, recipe: str, overrides: tuple[str, ...]
) -> None:
    made = opened(tmp_path, recipe, GRADIENTS, lambda network: None, *overrides)
    table = measured(GRADIENTS, made)
    objects = table["what"] == OBJECT
    assert (table["empty_cls"][objects] < 1).any()
    assert (table["empty_loc"][objects] < 1).any()
    assert all(one.grad is None for one in made[1].network.parameters())
    assert measured(SENSITIVITY, made)["what"].tolist().count(PICTURE) <= 1
