"""Boxes outside their images and boxes without area: cut or left out where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_spoilt import spoil_coco, spoil_openimages, spoil_voc
from made_widerface import make_widerface

from detbench.data.box_rule import AS_ANNOTATED, BoxRule, Edited
from detbench.data.kind import OnDisk
from detbench.data.kinds import Coco, WiderFace
from detbench.errors import DataError
from detbench.recipe.digest import digest

SIZES = np.array([[100, 50]] * 6)
BOXES = np.array(
    [
        [10, 10, 20, 20],
        [-1, -2, 103, 53],  # by rounding
        [-10, 10, 30, 20],  # amodal
        [90, 40, 40, 40],  # amodal
        [120, 10, 20, 20],  # all of it outside
        [10, 10, 0, 20],  # no area
    ],
    float,
)
AREAS = np.array([300, 5459, 600, 100, 400, 0], float)


def test_clip() -> None:
    done = BoxRule("clip").apply(BOXES, AREAS, SIZES)
    assert done.kept.tolist() == [True, True, True, True, False, True]
    assert done.edited == Edited(clipped=2, outside=1)
    assert done.boxes[2].tolist() == [0, 10, 20, 20]
    assert done.boxes[3].tolist() == [90, 40, 10, 10]
    assert (done.boxes[[0, 1, 5]] == BOXES[[0, 1, 5]]).all()
    assert done.areas[[0, 2, 3]].tolist() == [300, 400, 100]


def test_drop_and_no_area() -> None:
    done = BoxRule("drop", "drop").apply(BOXES, AREAS, SIZES)
    assert done.kept.tolist() == [True, True, False, False, False, False]
    assert done.edited == Edited(outside=3, no_area=1)
    assert (done.boxes == BOXES).all()
    assert done.edited.said(2) == [
        "3 of 6 boxes reach outside their image and are left out",
        "1 of 6 boxes have no area and are left out",
    ]


def test_nothing_asked_for_and_nothing_there() -> None:
    assert BoxRule().apply(BOXES, AREAS, SIZES).kept.all()
    assert not AS_ANNOTATED.apply(BOXES, AREAS, SIZES).edited.any
    done = BoxRule("clip", "drop").apply(BOXES[:0], AREAS[:0], SIZES[:0])
    assert done.boxes.shape == (0, 4)
    assert not done.edited.any
    gone = BoxRule("drop", "drop").apply(BOXES, AREAS, 0 * SIZES)  # images that are not there
    assert gone.kept.all()


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("spoil", [spoil_coco, spoil_voc, spoil_openimages])
def test_each_kind_does_as_it_is_asked(spoil: Callable[[Path], OnDisk], tmp_path: Path) -> None:
    data = spoil(tmp_path)
    with pytest.raises(DataError, match=r"outside|no area|XMin is"):
        data.table("val", tmp_path)
    clip = data.model_copy(update={"outside": "clip", "no_area": "drop"})
    table = clip.table("val", tmp_path)
    assert table.edited == Edited(clipped=1, outside=1, no_area=1)
    limits = np.tile(table.image_sizes[table.image_rows], 2)
    corners = np.concatenate((table.boxes[:, :2], table.boxes[:, :2] + table.boxes[:, 2:]), 1)
    assert (corners >= -2).all()
    assert (corners <= limits + 2).all()
    assert (table.boxes[:, 2:] > 0).all()
    drop = data.model_copy(update={"outside": "drop", "no_area": "drop"})
    assert drop.table("val", tmp_path).edited == Edited(outside=2, no_area=1)
    assert len(drop.table("val", tmp_path).ids) == len(table.ids) - 1
    with pytest.raises(DataError, match=r"outside|no area|XMin is"):  # nothing is remembered of it
        data.table("val", tmp_path)


def test_widerface_keeps_them_unless_asked(tmp_path: Path) -> None:
    make_widerface(tmp_path)
    data = WiderFace(kind="widerface")
    table = data.table("val", tmp_path)
    empty = int((table.boxes[:, 2:] == 0).any(axis=1).sum())
    assert empty
    found = data.model_copy(update={"no_area": "drop"}).table("val", tmp_path)
    assert found.edited == Edited(no_area=empty)
    assert found.marks is not None
    assert len(found.marks) == len(found.ids) == len(table.ids) - empty


def test_digest_and_label() -> None:
    """Nothing asked for is the cell of ever; anything else is another and says so."""
    plain = Coco(kind="coco")
    asked = Coco(kind="coco", outside="clip", no_area="drop")
    assert '"outside"' not in digest(plain)
    assert len({digest(plain), digest(asked), digest(Coco(kind="coco", outside="drop"))}) == 3
    assert asked.label(100) == (
        "COCO val2017, first 100, boxes outside clipped, those without area dropped"
    )
