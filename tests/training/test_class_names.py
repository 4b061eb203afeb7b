"""Labels are joined by the names of the classes, wherever weights are loaded."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector
from detbench.errors import WeightsError
from detbench.recipe import load
from detbench.recipe.detector import Detector
from detbench.recipe.light import lighten
from detbench.stages import classes
from detbench.training import checkpoint, files, weights

NAMES = ["red", "traffic light", "blue", "cat"]


def light(name: str) -> Detector:
    network = load.profile("smoke").light
    assert network is not None
    if ":" not in name:
        return lighten(load.detector(name).detector, network)
    from detbench.recipe import resolve

    table, label = name.split(":")
    [row] = resolve.cells(table, "smoke", rows=label)
    assert row.cell is not None
    return row.cell.detector


SUBJECTS = (
    "fcos-r50",
    "retinanet-r50",
    "gfl-r50",
    "autoassign-r50",
    "tscode-table1:FCOS + SCE",
    "faster-rcnn-r50",
    "cascade-rcnn-r50",
    "decoupled-rcnn-r50",
    "double-head-ext-r50",
    "tsd-r50",
)


def made(name: str, names: list[str] | int, seed: int = 0) -> Any:
    """A light detector with outputs that tell classes apart, and no class's box alike."""
    torch.manual_seed(seed)
    detector: Any = build_detector(light(name), names)
    own = detector.state_dict()
    for key in classes.class_rows(detector):
        own[key].normal_(std=1.0 if key.startswith("predictor") else 0.1)
    return detector.eval()


@torch.no_grad()
def by_name(detector: Any) -> dict[str, Tensor]:
    """Scores of each class, and its boxes where each has its own, by its name."""
    torch.manual_seed(5)
    images = torch.randn(1, 3, 96, 96)
    count = len(detector.class_names)
    found = detector(images)
    if isinstance(detector, DenseDetector):
        scores, boxes = detector._flat(found.cls, count)[0], None
    else:
        scores, boxes = found.scores, found.boxes if found.boxes.dim() == 3 else None
    named = {name: scores[:, label] for label, name in enumerate(detector.class_names)}
    if boxes is not None:
        named |= {f"{n}'s": boxes[:, label] for label, n in enumerate(detector.class_names)}
    return named


@pytest.mark.parametrize("name", SUBJECTS)
def test_another_order_gives_the_same_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    first = made(name, NAMES)
    weights.save(tmp_path / "a.pt", first)
    expected = by_name(first)
    assert not torch.allclose(expected["red"], expected["cat"], atol=1e-3)
    for order in list(permutations(NAMES))[1::9]:
        other = made(name, list(order), seed=1)
        weights.load_file(other, tmp_path / "a.pt", whole=True)
        found = by_name(other)
        assert found.keys() == expected.keys()
        for each, values in expected.items():
            torch.testing.assert_close(found[each], values, msg=f"{each} of {order}")
    assert "its classes are in another order: joined by name" in caplog.text


@pytest.mark.parametrize("name", ["fcos-r50", "faster-rcnn-r50"])
def test_other_classes_are_refused_or_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    first = made(name, NAMES)
    weights.save(tmp_path / "a.pt", first)
    for names, said in (
        (["red", "traffic light", "green", "cat"], "the file has blue and only the data has green"),
        (NAMES[:3], "its 4 classes are not the data's 3: only the file has cat"),
        ([*NAMES, "dog"], "only the data has dog"),
    ):
        other = made(name, names, seed=1)
        before = {key: other.state_dict()[key].clone() for key in classes.class_rows(other)}
        with pytest.raises(WeightsError, match=said) as caught:
            weights.load_file(other, tmp_path / "a.pt")
        assert "\n" not in str(caught.value)
        fit = weights.load_file(other, tmp_path / "a.pt", allow_partial=True)
        assert set(fit.missing) == set(before)
        for key, tensor in other.state_dict().items():
            expected = before[key] if key in before else first.state_dict()[key]
            assert torch.equal(tensor, expected), key
    assert "the layers that tell classes apart are not loaded" in caplog.text


def test_old_files_are_taken_in_their_order_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = made("fcos-r50", NAMES)
    checkpoint.save(tmp_path / "old.pt", {"detector": first.state_dict()})
    other = made("fcos-r50", NAMES[::-1], seed=1)
    weights.load_file(other, tmp_path / "old.pt")
    [said] = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert said == (
        f"{tmp_path / 'old.pt'}: does not name its classes: they are taken to be the data's, in "
        "their order (cat, blue, traffic light, ...)"
    )
    assert torch.equal(other.predictor.cls.bias, first.predictor.cls.bias)


def test_a_detector_without_names_gets_the_files(tmp_path: Path) -> None:
    weights.save(tmp_path / "a.pt", made("fcos-r50", NAMES))
    other = made("fcos-r50", 4)
    weights.load_file(other, tmp_path / "a.pt")
    assert other.class_names == tuple(NAMES)
    weights.save(tmp_path / "b.pt", other)
    assert files.read(tmp_path / "b.pt").classes == tuple(NAMES)


@pytest.mark.parametrize(
    ("meta", "found"),
    [
        ({"CLASSES": ("red", "blue")}, ("red", "blue")),
        ({"dataset_meta": {"classes": ("red", "blue"), "palette": [(1, 2, 3)]}}, ("red", "blue")),
        ({"dataset_meta": {"CLASSES": ["red"]}, "epoch": 1}, ("red",)),
        ({"CLASSES": "red"}, ("red",)),
        ({"CLASSES": None}, None),
        ({"CLASSES": [1, 2]}, None),
        ({}, None),
        (None, None),
    ],
)
def test_mmdetections_meta(tmp_path: Path, meta: Any, found: Any) -> None:
    state = {"bbox_head.conv_cls.bias": torch.zeros(2)}
    torch.save({"state_dict": state, "meta": meta}, tmp_path / "a.pth")
    read = files.read(tmp_path / "a.pth")
    assert (read.origin, read.classes) == ("MMDetection", found)


def test_names_are_compared_as_people_do() -> None:
    assert classes.order(["Traffic_Light", "cat"], ["cat", "traffic light"]) == [1, 0]
    assert classes.order(["a", "A"], ["A", "a"]) == [1, 0]
    assert classes.order(["a", "a"], ["a", "a"]) == [0, 1]
    assert classes.order(["a", "a"], ["a", "b"]) is None
    assert classes.order(["a"], ["a", "b"]) is None
