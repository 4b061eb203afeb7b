"""Weights evaluated on the same data with its class ids in another order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detbench.assembly import build_detector
from detbench.data.kinds import CocoJson
from detbench.errors import WeightsError
from detbench.evaluation.run import Scored, load_and_score
from detbench.recipe import resolve
from detbench.recipe.experiment import Cell
from detbench.stages.classes import class_rows
from detbench.training import weights
from detbench.training.host import Host

NAMES = ("red", "blue", "green")
OVERRIDES = ("training.input.short=[96]", "inference.score_threshold=0.0")


def annotate(folder: Path, name: str, names: tuple[str, ...]) -> CocoJson:
    """The same images and objects; class ids are places in ``names``."""
    random = np.random.default_rng(0)
    images, annotations = [], []
    (folder / "images").mkdir(exist_ok=True)
    for number in range(4):
        pixels = random.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "width": 96, "height": 96, "file_name": f"{number}.png"})
        for each in random.integers(0, 40, (3, 2)).tolist():
            label = NAMES[int(random.integers(0, 3))]
            identity = names.index(label) + 1 if label in names else 1
            box = {"bbox": [*each, 40, 40], "area": 1600, "iscrowd": 0, "category_id": identity}
            annotations.append({"id": len(annotations), "image_id": number, **box})
    categories = [{"id": place, "name": each} for place, each in enumerate(names, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return CocoJson(
        kind="coco-json", annotations=str(folder / f"{name}.json"), images=str(folder / "images")
    )


def cell(detector: str, data: CocoJson) -> Cell:
    made = resolve.cell(detector, "smoke", 0, OVERRIDES, data).cell
    assert made is not None
    return made


def scored(made: Cell, file: Path) -> Scored:
    root, device = file.parent, torch.device("cpu")
    return load_and_score(made, file, Host(root, device, lambda _: None))


@pytest.mark.parametrize("detector", ["fcos-r50", "faster-rcnn-r50"])
def test_the_same_boxes_and_ap_whatever_the_order(tmp_path: Path, detector: str) -> None:
    first = cell(detector, annotate(tmp_path, "a", NAMES))
    torch.manual_seed(3)  # by which both find an object
    network: Any = build_detector(first.detector, NAMES)
    for key in class_rows(network):
        network.state_dict()[key].normal_(std=0.3 if key.startswith("predictor") else 0.05)
    if detector == "fcos-r50":  # boxes of the objects' size, in strides of 8
        network.predictor.loc.bias.data.fill_(2.5)
    weights.save(tmp_path / "weights.pt", network)
    expected = scored(first, tmp_path / "weights.pt")
    assert expected.metrics["AP"]
    other = ("green", "red", "blue")
    found = scored(cell(detector, annotate(tmp_path, "b", other)), tmp_path / "weights.pt")
    assert found.metrics["AP"] == pytest.approx(expected.metrics["AP"], rel=1e-3)
    for names, result in ((NAMES, expected), (other, found)):
        for one in result.detections:
            one["name"] = names[one.pop("category_id") - 1]
    key = lambda one: (one["image_id"], one["name"], -one["score"], one["bbox"])  # noqa: E731
    pairs = zip(
        sorted(expected.detections, key=key), sorted(found.detections, key=key), strict=True
    )
    same = [one["name"] == two["name"] and one["bbox"] == two["bbox"] for one, two in pairs]
    assert sum(same) > 0.95 * len(same)  # equal scores may change places at the limit of 100


def test_other_classes_are_one_line(tmp_path: Path) -> None:
    first = cell("fcos-r50", annotate(tmp_path, "a", NAMES))
    weights.save(tmp_path / "weights.pt", build_detector(first.detector, NAMES))
    other = cell("fcos-r50", annotate(tmp_path, "b", ("red", "blue", "pink")))
    said = "its 3 classes are not the data's 3: only the file has green and only the data has pink"
    with pytest.raises(WeightsError, match=said) as caught:
        scored(other, tmp_path / "weights.pt")
    assert "\n" not in str(caught.value)
