"""COCO metrics: parity with pycocotools' own summary, and the cases it does not cover."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detbench.errors import DataError
from detbench.evaluation.coco import METRICS, evaluate
from detbench.recipe.experiment import Evaluation

ENGINES = ("detbench", "faster", "pycocotools")


def made(seed: int, images: int = 12, categories: int = 4, crowd: bool = True) -> Any:
    """Random ground truth of all sizes with some images empty, and noisy detections of it."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(images):
        if image % 5 == 3:
            continue  # neither objects nor detections
        for number in range(int(rng.integers(0, 7))):
            side = float(rng.choice([12, 40, 150])) * rng.uniform(0.7, 1.3, 2)
            box = [*rng.uniform(0, 300, 2), *side]
            category = int(rng.integers(1, categories))  # the last has no objects
            annotations.append(
                {
                    "image_id": image,
                    "category_id": category,
                    "bbox": [float(x) for x in box],
                    "area": float(side[0] * side[1] * rng.uniform(0.5, 1)),
                    "iscrowd": int(crowd and number == 5),
                    "id": len(annotations),
                    "ignore": 0,
                }
            )
            for _ in range(int(rng.integers(0, 4))):
                noise = rng.normal(0, 0.1, 4) * [*side, *side]
                moved = np.maximum(np.asarray(box) + noise, 1)
                results.append(
                    {
                        "image_id": image,
                        "category_id": int(category if rng.random() < 0.8 else categories),
                        "bbox": [float(x) for x in moved],
                        "score": float(np.round(rng.random(), 1)),  # with ties
                    }
                )
    return {
        "images": [{"id": image, "width": 500, "height": 500} for image in range(images)],
        "categories": [{"id": k, "name": f"c{k}"} for k in range(1, categories + 1)],
        "annotations": annotations,
    }, results


def reference(truth: Any, results: Any) -> dict[str, float | None]:
    """pycocotools as its users run it: default parameters and its own ``summarize``."""
    numbered = [dict(item, id=item["id"] + 1) for item in truth["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = dict(truth, annotations=numbered)
        ground.createIndex()
        run = COCOeval(ground, ground.loadRes([dict(item) for item in results]), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "", "", "AR", "ARs", "ARm", "ARl")
    return {
        name: None if value == -1 else float(value)
        for name, value in zip(names, run.stats, strict=True)
        if name
    }


def assert_same(
    found: dict[str, float | None], expected: dict[str, float | None], exact: bool
) -> None:
    """Equal, bit for bit or but for pycocotools' 2e-16 in the denominator of precision."""
    assert found == (expected if exact else pytest.approx(expected, rel=0, abs=1e-15))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("engine", ENGINES)
def test_equals_pycocotools_to_the_last_digit(engine: Any, seed: int) -> None:
    truth, results = made(seed)
    expected = reference(truth, results)
    found = evaluate(truth, results, Evaluation(), engine)
    assert 0.05 < expected["AP"] < 0.95  # type: ignore[operator]
    assert_same({name: found[name] for name in expected}, expected, exact=engine != "faster")


@pytest.mark.parametrize("maximum", [1, 3, 100, 300])
@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_engines_agree_for_any_number_of_detections_and_area(maximum: int, scale: float) -> None:
    truth, results = made(20)
    setting = Evaluation(max_detections=maximum, area_scale=scale)
    own, faster, theirs = (evaluate(truth, results, setting, engine) for engine in ENGINES)  # type: ignore[arg-type]
    assert_same(own, theirs, exact=True)
    assert_same(faster, theirs, exact=False)
    assert own["AP"] is not None


def test_fewer_detections_lower_recall() -> None:
    truth, results = made(20)
    one = evaluate(truth, results, Evaluation(max_detections=1))
    many = evaluate(truth, results, Evaluation(max_detections=100))
    assert one["AR"] < many["AR"]  # type: ignore[operator]


def test_ap_is_the_mean_over_thresholds() -> None:
    truth, results = made(3)
    found = evaluate(truth, results, Evaluation())
    single = [found[f"AP{percent}"] for percent in range(50, 100, 5)]
    assert found["AP"] == pytest.approx(np.mean(single), abs=1e-12)  # type: ignore[arg-type]
    assert tuple(found) == METRICS


def test_area_scale_moves_the_bounds() -> None:
    """A 10-pixel object is small in COCO, and large where the bounds are a tenth of COCO's."""
    truth = perfect_truth([[10, 10, 10, 10]])
    results = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 10, 10], "score": 0.5}]
    usual = evaluate(truth, results, Evaluation())
    scaled = evaluate(truth, results, Evaluation(area_scale=0.1))
    assert [usual["APs"], usual["APm"], usual["APl"]] == [pytest.approx(1.0), None, None]
    assert [scaled["APs"], scaled["APm"], scaled["APl"]] == [None, None, pytest.approx(1.0)]


def perfect_truth(boxes: list[list[float]], crowd: int = 0) -> dict[str, Any]:
    return {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1, "name": "a"}, {"id": 7, "name": "b"}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": crowd}
            for k, box in enumerate(boxes)
        ],
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_no_detections_is_zero_where_objects_are(engine: Any) -> None:
    found = evaluate(perfect_truth([[5, 5, 50, 50]]), [], Evaluation(), engine)
    assert (found["AP"], found["AR"], found["APm"]) == (0.0, 0.0, 0.0)
    assert (found["APs"], found["APl"]) == (None, None)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("crowd", [None, 1])
def test_no_ground_truth_is_undefined(engine: Any, crowd: int | None) -> None:
    truth = perfect_truth([] if crowd is None else [[0, 0, 90, 90]], crowd=1)
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.5}]
    assert set(evaluate(truth, results, Evaluation(), engine).values()) == {None}


@pytest.mark.parametrize("engine", ENGINES)
def test_detections_in_a_crowd_cost_nothing(engine: Any) -> None:
    truth = perfect_truth([[5, 5, 50, 50], [200, 200, 100, 100]])
    truth["annotations"][1]["iscrowd"] = 1
    results = [
        {"image_id": 1, "category_id": 1, "bbox": [220, 220, 50, 50], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [5, 5, 50, 50], "score": 0.5},
    ]
    assert evaluate(truth, results, Evaluation(), engine)["AP"] == pytest.approx(1, abs=1e-15)


def test_limit_counts_only_the_first_images() -> None:
    truth, results = made(4)
    cut = Evaluation(limit=3)
    first = {0, 1, 2}
    small = dict(
        truth,
        images=truth["images"][:3],
        annotations=[item for item in truth["annotations"] if item["image_id"] in first],
    )
    kept = [item for item in results if item["image_id"] in first]
    assert evaluate(truth, results, cut) == evaluate(small, kept, Evaluation())
    assert evaluate(truth, results, cut) != evaluate(truth, results, Evaluation())


def test_inputs_are_not_changed() -> None:
    truth, results = made(5)
    before = repr((truth, results))
    evaluate(truth, results, Evaluation())
    evaluate(truth, results, Evaluation(), "pycocotools")
    assert repr((truth, results)) == before


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    truth, results = made(6)
    for engine in ENGINES:
        evaluate(truth, results, Evaluation(), engine)  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


GOOD = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"annotations": []}, "a list of detections, this is an object"),
        ([3], "detection 0: expected an object"),
        ([GOOD, {"image_id": 1, "bbox": [1, 2, 3, 4]}], "detection 1: lacks category_id, score"),
        ([dict(GOOD, image_id=9)], "image_id 9 is not in the annotations"),
        ([dict(GOOD, image_id=[1])], "image_id [1] is not in the annotations"),
        ([dict(GOOD, image_id=True)], "image_id True is not"),
        ([dict(GOOD, category_id=2)], "category_id 2 is not in the annotations (1, 7, ...)"),
        ([dict(GOOD, bbox=[1, 2, 3])], "bbox must be four finite numbers"),
        ([dict(GOOD, bbox=[1, 2, 3, "4"])], "bbox must be four finite numbers"),
        ([dict(GOOD, bbox=[5, 5, -3, 4])], "negative width or height"),
        ([dict(GOOD, score=math.nan)], "score must be a finite number, not nan"),
        ([dict(GOOD, score=None)], "score must be a finite number, not None"),
    ],
)
def test_bad_results_are_one_line(results: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(perfect_truth([[1, 2, 3, 4]]), results, Evaluation())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
