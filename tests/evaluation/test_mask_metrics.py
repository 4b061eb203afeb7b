"""Metrics of masks: bit for bit those of pycocotools' own way through its files (COCO, loadRes)."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_mask_results import HEIGHT, WIDTH, listed, made
from pycocotools import coco as pycoco
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval

from detbench.data.coco_check import check
from detbench.data.segmentations import bitmaps
from detbench.errors import DataError
from detbench.evaluation import accumulate, coco, matching, scoring
from detbench.evaluation.metric import MASK_METRICS, METRICS, bounds, by_kind
from detbench.recipe.experiment import Evaluation
from detbench.statistics.bootstrap import difference


def theirs(
    truth: dict[str, Any], results: list[dict[str, Any]], setting: Evaluation, kind: str = "segm"
) -> dict[str, float | None]:
    """COCO's way, from its format to its arrays; no code of ours but the means at the end."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground = pycoco.COCO()
        ground.dataset = copy.deepcopy(truth)
        ground.createIndex()
        found = ground.loadRes(copy.deepcopy(results))
        engine = COCOeval(ground, found, kind)
        engine.params.maxDets = [setting.max_detections]
        engine.params.areaRng = bounds(setting)
        engine.params.areaRngLbl = ["all", "small", "medium", "large"]
        engine.evaluate()
        engine.accumulate()
    arrays = engine.eval["precision"][..., 0], engine.eval["recall"][..., 0]
    return accumulate.summary(*arrays, MASK_METRICS if kind == "segm" else METRICS)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    maximum=st.sampled_from([1, 2, 5, 100]),
    scale=st.sampled_from([0.1, 0.25, 0.5]),
)
def test_equal_to_pycocotools_bit_for_bit(seed: int, maximum: int, scale: float) -> None:
    truth, results = made(seed)
    if not results or not truth["annotations"]:
        return
    setting = Evaluation(max_detections=maximum, area_scale=scale)
    expected = theirs(truth, results, setting)
    assert coco.evaluate(truth, results, setting, masks=True) == expected
    assert coco.evaluate(truth, results, setting, "pycocotools", masks=True) == expected
    assert (
        coco.evaluate(check(truth, Path("made.json"), masks=True), results, setting, masks=True)
        == expected
    )


def scored(seed: int = 3) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    truth, results = made(seed, images=12)
    value = coco.evaluate(truth, results, Evaluation(), masks=True)["maskAP"]
    assert value is not None
    assert 0.05 < value < 0.95
    return truth, results


def test_the_size_of_a_detection_is_its_masks_whatever_its_box() -> None:
    truth, results = scored()
    boxed = [one | {"bbox": [0.0, 0.0, 60.0, 60.0]} for one in results]
    setting = Evaluation(area_scale=0.25)
    expected = coco.evaluate(truth, results, setting, masks=True)
    assert coco.evaluate(truth, boxed, setting, masks=True) == expected


def test_an_object_without_a_segmentation_does_not_count() -> None:
    truth, results = scored()
    whole = truth["annotations"]
    for row, value in ((0, None), (5, []), (9, None)):
        whole[row] = whole[row] | {"segmentation": value}
    del whole[0]["segmentation"]
    less = truth | {"annotations": [one for one in whole if one.get("segmentation")]}
    assert len(less["annotations"]) == len(whole) - 3
    for engine in ("detbench", "pycocotools"):
        found = coco.evaluate(truth, results, Evaluation(), engine, masks=True)
        assert found == theirs(less, results, Evaluation())


def test_polygons_and_lists_are_taken_as_detections_too() -> None:
    truth, results = scored()
    square = [8.0, 8.0, 40.0, 8.0, 40.0, 32.0, 8.0, 32.0]
    one = {"image_id": truth["images"][0]["id"], "category_id": 3, "score": 0.5}
    runs = rle.frPyObjects([square], HEIGHT, WIDTH)[0]
    plain = listed(np.array(bitmaps([runs], (HEIGHT, WIDTH))[0], bool))
    forms = [[square], plain, {"size": runs["size"], "counts": runs["counts"].decode()}]
    found = [
        coco.evaluate(truth, [*results, one | {"segmentation": form}], Evaluation(), masks=True)
        for form in forms
    ]
    assert found[0] == found[1] == found[2]


def test_faster_coco_eval_agrees() -> None:
    truth, results = scored()
    ours = coco.evaluate(truth, results, Evaluation(), masks=True)
    for name, value in coco.evaluate(truth, results, Evaluation(), "faster", masks=True).items():
        assert value == pytest.approx(ours[name], abs=1e-12)


def test_which_metrics_there_are_depends_on_what_results_have() -> None:
    truth, results = scored()
    boxed = [one | {"bbox": [1.0, 1.0, 20.0, 20.0]} for one in results]
    blind = truth | {
        "annotations": [
            {key: value for key, value in one.items() if key != "segmentation"}
            for one in truth["annotations"]
        ]
    }

    def metrics(ground: dict[str, Any], found: list[dict[str, Any]]) -> tuple[str, ...]:
        return tuple(scoring.score(None, ground, found, Evaluation()))

    assert metrics(truth, results) == MASK_METRICS
    assert metrics(truth, boxed) == (*METRICS, *MASK_METRICS)
    assert metrics(blind, boxed) == METRICS
    plain = [{key: one[key] for key in one if key != "segmentation"} for one in boxed]
    assert metrics(truth, plain) == METRICS
    assert metrics(truth, []) == (*METRICS, *MASK_METRICS)
    nothing = scoring.score(None, truth, [], Evaluation())
    assert nothing["maskAP"] == nothing["AP"] == 0
    assert metrics(blind, []) == METRICS
    with pytest.raises(DataError, match="the ground truth has no masks to score"):
        metrics(blind, results)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"segmentation": None}, "has no segmentation; every one of these results has a mask"),
        ({"segmentation": [[1.0, 2.0, 3.0]]}, "has a polygon of an odd number of coordinates"),
        ({"segmentation": {"size": [9, 9], "counts": "Q2"}}, r"has an RLE of size \[9, 9\] in an"),
        ({"score": float("nan")}, "score must be a finite number"),
        ({"image_id": -1}, "image_id -1 is not in the annotations"),
    ],
)
def test_a_damaged_result_is_one_line(change: dict[str, Any], said: str) -> None:
    truth, results = scored()
    results[4] |= change
    for engine in ("detbench", "pycocotools"):
        with pytest.raises(DataError, match=rf"^mine\.json: detection 4: .*{said}") as caught:
            coco.evaluate(truth, results, Evaluation(), engine, "mine.json", masks=True)
        assert "\n" not in str(caught.value)


def test_a_result_that_lacks_its_mask_or_image_sizes_are_said() -> None:
    truth, results = scored()
    del results[4]["segmentation"]
    with pytest.raises(DataError, match="detection 4: has no segmentation"):
        coco.evaluate(truth, results, Evaluation(), masks=True)
    for one in truth["images"]:
        del one["width"]
    with pytest.raises(DataError, match="have no height and width"):
        coco.evaluate(truth, scored()[1], Evaluation(), masks=True)


def test_weights_and_differences_go_through_the_same_means() -> None:
    truth, tied = scored()
    results = [one | {"score": one["score"] + row / 1e6} for row, one in enumerate(tied)]
    worse = [one | {"score": 1.0 - float(one["score"])} for one in results]
    a, b = (matching.match(truth, one, Evaluation(), masks=True) for one in (results, worse))
    once = np.ones(len(a.image_ids), np.int64)
    plain = accumulate.metrics(a)
    for name, value in accumulate.metrics(a, once).items():
        assert value == pytest.approx(plain[name], abs=1e-12)
    both = (0, 1)  # an image's copy comes right after it
    twice = truth | {
        "images": [one | {"id": 2 * one["id"] + i} for one in truth["images"] for i in both],
        "annotations": [
            one | {"image_id": 2 * one["image_id"] + i, "id": 2 * one["id"] + i}
            for one in truth["annotations"]
            for i in both
        ],
    }
    copies = [one | {"image_id": 2 * one["image_id"] + i} for one in results for i in both]
    doubled = theirs(twice, copies, Evaluation())
    for name, value in accumulate.metrics(a, 2 * once).items():
        assert value == pytest.approx(doubled[name], abs=1e-12)
    found = difference([a], [b], ["maskAP", "maskAP50"], replicates=200)
    other = coco.evaluate(truth, worse, Evaluation(), masks=True)
    for name, one in found.items():
        assert (one.a, one.b) == (plain[name], other[name])
    assert by_kind(["AP", "maskAP[class 1]", "APs"]) == [
        (False, ["AP", "APs"]),
        (True, ["maskAP[class 1]"]),
    ]
