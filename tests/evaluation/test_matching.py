"""Matching as arrays: bit for bit pycocotools', and re-weighted as if images were copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detbench.errors import DataError, RecipeError
from detbench.evaluation import accumulate, coco, matching
from detbench.evaluation.coco import evaluate
from detbench.evaluation.metric import AREAS, METRICS, THRESHOLDS, parse
from detbench.recipe.experiment import Evaluation
from detbench.recipe.metrics import SIZED

CATEGORIES = (3, 1, 8)  # not sorted; 8 has no objects


def crowded(seed: int, images: int = 8, objects: int = 9) -> tuple[dict[str, Any], list[Any]]:
    """Overlapping objects on a coarse grid, so that IoUs and scores tie; crowds; empty images."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    ids = [int(one) for one in rng.permutation(images * 3)[:images]]
    for image in ids:
        if rng.random() < 0.2:
            continue
        for _ in range(int(rng.integers(0, objects))):
            side = rng.choice([8, 16, 40, 120], 2)
            box = [*(8.0 * rng.integers(0, 6, 2)), *(float(s) for s in side)]
            item = {
                "id": len(annotations),
                "image_id": image,
                "category_id": int(rng.choice(CATEGORIES[:2])),
                "bbox": [float(side) for side in box],
                "iscrowd": int(rng.random() < 0.15),
            }
            if rng.random() < 0.7:
                item["area"] = float(side[0] * side[1] * rng.choice([0.5, 1.0]))
            annotations.append(item)
            for _ in range(int(rng.integers(0, 4))):
                moved = np.asarray(item["bbox"]) + rng.choice([-4, -2, 0, 0, 2, 4], 4)
                results.append(
                    {
                        "image_id": image,
                        "category_id": int(rng.choice(CATEGORIES)),
                        "bbox": [float(v) for v in np.maximum(moved, 0)],
                        "score": float(rng.integers(0, 5)) / 4,
                    }
                )
    order = rng.permutation(len(results))
    return {
        "images": [{"id": image} for image in ids],
        "categories": [{"id": one, "name": f"class {one}"} for one in CATEGORIES],
        "annotations": annotations,
    }, [results[row] for row in order]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    maximum=st.sampled_from([1, 2, 5, 100]),
    scale=st.sampled_from([0.25, 0.5, 1.0]),
    limit=st.sampled_from([None, 3]),
)
def test_metrics_equal_pycocotools_bit_for_bit(
    seed: int, maximum: int, scale: float, limit: int | None
) -> None:
    truth, results = crowded(seed)
    setting = Evaluation(max_detections=maximum, area_scale=scale, limit=limit)
    expected = evaluate(truth, results, setting, "pycocotools")
    assert accumulate.metrics(matching.match(truth, results, setting)) == expected


def test_a_size_at_one_iou_is_that_slice_of_pycocotools_arrays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, results = crowded(7, images=20)
    held = []
    monkeypatch.setattr(coco, "summary", lambda precision, *_: held.append(precision) or {})
    setting = Evaluation(area_scale=0.5)
    evaluate(truth, results, setting, "pycocotools")
    matches = matching.match(truth, results, setting)
    found = accumulate.values(matches, SIZED)
    again = accumulate.replicate(matches, np.ones((20, 1), int), [*map(parse, SIZED)], np.float64)
    assert len(found) == 30
    for (name, value), drawn in zip(found.items(), again[:, 0], strict=True):
        size, percent = name[2], int(name[3:])
        part = held[0][THRESHOLDS.index(percent), :, :, AREAS.index(size)]
        assert value == part[part > -1].mean(), name
        assert drawn == pytest.approx(value, rel=0, abs=1e-12), name
    assert len(set(found.values())) > 10


@pytest.mark.parametrize("seed", range(4))
def test_weights_of_one_change_nothing(seed: int) -> None:
    truth, results = crowded(seed, images=30)
    matches = matching.match(truth, results, Evaluation())
    plain = accumulate.metrics(matches)
    ones = accumulate.metrics(matches, np.ones(30, np.int64))
    assert_close(ones, plain)
    assert plain["AP"]


def assert_close(found: dict[str, float | None], expected: dict[str, float | None]) -> None:
    """Equal to 1e-12, and undefined in the same places."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, name
        else:
            assert found[name] == pytest.approx(value, rel=0, abs=1e-12), name


def copied(
    truth: dict[str, Any], results: list[Any], weights: np.ndarray
) -> tuple[dict[str, Any], list[Any]]:
    """A data set in which the image of the i-th smallest id stands ``weights[i]`` times."""
    ids = sorted(image["id"] for image in truth["images"])
    images, annotations, found = [], [], []
    for image, count in zip(ids, weights, strict=True):
        for _ in range(count):
            new = len(images)
            images.append({"id": new})
            for item in truth["annotations"]:
                if item["image_id"] == image:
                    annotations.append({**item, "image_id": new, "id": len(annotations)})
            found += [{**one, "image_id": new} for one in results if one["image_id"] == image]
    return {**truth, "images": images, "annotations": annotations}, found


@pytest.mark.parametrize("seed", range(5))
def test_a_weighted_image_is_as_many_copies_of_it(seed: int) -> None:
    """Against pycocotools on a data set with the copies in it, scores distinct."""
    truth, results = crowded(seed, images=12)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(results))
    results = [{**one, "score": float(s) / 997} for one, s in zip(results, order, strict=True)]
    weights = rng.multinomial(12, [1 / 12] * 12)
    expected = evaluate(*copied(truth, results, weights), Evaluation(), "pycocotools")
    matches = matching.match(truth, results, Evaluation())
    found = accumulate.metrics(matches, weights)
    # Copies have equal scores: between them precision dips by less than one copy's worth.
    for name in METRICS:
        if expected[name] is None:
            assert found[name] is None
        else:
            assert found[name] == pytest.approx(expected[name], abs=0.02)
            assert found[name] <= expected[name] + 1e-12  # type: ignore[operator]
    both = np.stack([weights, np.ones(12, np.int64)], axis=1)
    rows = accumulate.replicate(matches, both, [parse(name) for name in METRICS])
    for row, name in zip(rows, METRICS, strict=True):
        for value, same in zip(row, (found[name], accumulate.metrics(matches)[name]), strict=True):
            assert np.isnan(value) if same is None else value == pytest.approx(same, abs=1e-5)


def test_images_of_weight_zero_are_as_if_left_out() -> None:
    truth, results = crowded(3, images=10)
    weights = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1])
    expected = evaluate(*copied(truth, results, weights), Evaluation(), "pycocotools")
    found = accumulate.metrics(matching.match(truth, results, Evaluation()), weights)
    assert_close(found, expected)


@pytest.mark.parametrize("objects", [20, 100, 7, 40])
def test_recall_levels_that_floating_point_puts_late(objects: int) -> None:
    """A recall of exactly 35/100 does not reach numpy's level 0.35000000000000003."""
    truth = {
        "images": [{"id": i} for i in range(objects)],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 50, 50]}
            for i in range(objects)
        ],
    }
    rng = np.random.default_rng(objects)
    results = [
        {
            "image_id": i,
            "category_id": 1,
            "bbox": [0, 0, 50, 50] if i % 3 else [90, 90, 50, 50],
            "score": float(rng.random()),
        }
        for i in range(objects)
    ]
    matches = matching.match(truth, results, Evaluation())
    expected = evaluate(truth, results, Evaluation(), "pycocotools")
    assert accumulate.metrics(matches) == expected
    ones = np.ones(objects, np.int64)
    assert_close(accumulate.metrics(matches, ones), expected)
    [[single]] = accumulate.replicate(matches, ones[:, None], [parse("AP")])
    assert single == pytest.approx(expected["AP"], abs=1e-6)


def test_a_replicate_without_objects_is_undefined() -> None:
    truth, results = crowded(1)
    matches = matching.match(truth, results, Evaluation())
    none = accumulate.metrics(matches, np.zeros(8, np.int64))
    assert set(none.values()) == {None}


def test_a_class_by_itself_is_that_class_alone() -> None:
    truth, results = crowded(2, images=20)
    alone = dict(
        truth,
        categories=[{"id": 3, "name": "class 3"}],
        annotations=[one for one in truth["annotations"] if one["category_id"] == 3],
    )
    mine = [one for one in results if one["category_id"] == 3]
    expected = evaluate(alone, mine, Evaluation(), "pycocotools")
    matches = matching.match(truth, results, Evaluation())
    names = [f"{name}[class 3]" for name in METRICS]
    assert list(accumulate.values(matches, names).values()) == list(expected.values())
    assert accumulate.values(matches, ["AP[class 8]"]) == {"AP[class 8]": None}
    ones = np.ones((20, 1), np.int64)
    rows = accumulate.replicate(matches, ones, [parse(name, matches.names) for name in names])
    for [value], same in zip(rows, expected.values(), strict=True):
        assert np.isnan(value) if same is None else value == pytest.approx(same, abs=1e-6)


def test_pairs_in_portions_are_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, results = crowded(5, images=20)
    whole = matching.match(truth, results, Evaluation())
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", 7)
    parts = matching.match(truth, results, Evaluation())
    assert (whole.right == parts.right).all()
    assert (whole.ignored == parts.ignored).all()
    assert whole.right.any()


def test_replicates_in_portions_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, results = crowded(6, images=20)
    matches = matching.match(truth, results, Evaluation())
    weights = np.random.default_rng(0).multinomial(20, [0.05] * 20, size=11).T
    wanted = [parse("AP"), parse("ARs")]
    whole = accumulate.replicate(matches, weights, wanted)
    monkeypatch.setattr(accumulate, "REPLICATES_AT_ONCE", 4)
    assert (accumulate.replicate(matches, weights, wanted) == whole).all()
    assert len(set(whole[0])) > 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("APxs", "no metric 'APxs', did you mean 'APs'?"),
        ("mAP", "no metric 'mAP'"),
        ("AP60s", "ARm, ARl, APs50 to APl95, maskAP to maskARl)"),
        ("APs61", "no metric 'APs61', did you mean 'APs6"),
        ("AP[class 33]", "no class 'class 33', did you mean 'class 3'?"),
        ("", "no metric ''"),
    ],
)
def test_unknown_metrics_are_named(name: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(name, ("class 1", "class 3"))
    assert said in str(caught.value)


def test_bad_results_name_their_file() -> None:
    truth, _ = crowded(0)
    with pytest.raises(DataError, match=r"^mine\.json: detection 0: lacks"):
        matching.match(truth, [{"image_id": 1}], Evaluation(), "mine.json")


def test_numbers_of_numpys_types_are_numbers() -> None:
    truth, results = crowded(0)
    same = [{**one, "score": np.float64(one["score"])} for one in results]
    assert evaluate(truth, same, Evaluation()) == evaluate(truth, results, Evaluation())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"score": 10**400}, "score must be a finite number"),
        ({"bbox": [1, 2, 10**400, 3]}, "bbox must be four finite numbers"),
        ({"image_id": 2**70}, "image_id 1180591620717411303424 is not in the annotations"),
        ({"score": True}, "score must be a finite number, not True"),
        ({"bbox": {"x": 1}}, "bbox must be four finite numbers"),
        ({"category_id": "1"}, "category_id '1' is not in the annotations"),
    ],
)
def test_odd_numbers_are_one_line(changed: dict[str, Any], said: str) -> None:
    truth, results = crowded(0)
    bad = [*results[:3], {**results[3], **changed}]
    with pytest.raises(DataError) as caught:
        matching.match(truth, bad, Evaluation())
    assert f"detection 3: {said}" in str(caught.value)
