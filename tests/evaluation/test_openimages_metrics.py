"""OpenImages' AP against its official evaluation, written out image by image."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_openimages import make_openimages
from typer.testing import CliRunner

from detbench.cli.main import app
from detbench.data.coco_check import Table
from detbench.data.kinds import OpenImages, Shapes
from detbench.evaluation import openimages, scoring
from detbench.recipe.experiment import Evaluation

Box = list[float]
PARENTS = {0: None, 1: 0, 2: 1, 3: 0, 4: None}
"""Of five classes the one right above: 0 above 1 and 3, 1 above 2."""


def above(label: int) -> list[int]:
    found = []
    while (label := PARENTS[label]) is not None:  # type: ignore[assignment]
        found.append(label)
    return found


# --- the official evaluation ----------------------------------------------------------------------


def intersection(one: Box, other: Box) -> float:
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)


def one_image(
    found: list[tuple[float, Box]], objects: list[Box], groups: list[Box]
) -> list[tuple[float, bool]]:
    """Of one class: score and whether it is right, of what counts. ``found`` is best first."""
    shown: list[tuple[float, bool]] = []
    taken = [False] * len(objects)
    best_of = [0.0] * len(groups)
    for score, box in found:
        right = False
        if objects:
            shares = [
                intersection(box, one)
                / (box[2] * box[3] + one[2] * one[3] - intersection(box, one))
                for one in objects
            ]
            at = shares.index(max(shares))
            if shares[at] >= 0.5 and not taken[at]:
                taken[at] = right = True
        if not right and groups:
            inside = [intersection(box, one) / (box[2] * box[3]) for one in groups]
            at = inside.index(max(inside))
            if inside[at] >= 0.5:
                best_of[at] = max(best_of[at], score)
                continue
        shown.append((score, right))
    return shown + [(score, True) for score in best_of if score > 0]


def average_precision(shown: list[tuple[float, bool]], objects: int) -> float:
    shown = sorted(shown, key=lambda one: -one[0])
    precision, recall, hits = [0.0], [0.0], 0
    for number, (_, right) in enumerate(shown, 1):
        hits += right
        precision.append(hits / number)
        recall.append(hits / objects)
    precision.append(0.0)
    recall.append(1.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum(
        (recall[i] - recall[i - 1]) * precision[i]
        for i in range(1, len(recall))
        if recall[i] != recall[i - 1]
    )


def official(
    boxes: list[dict[str, Any]],
    labels: list[tuple[int, int, int]],
    results: list[dict[str, Any]],
    images: int,
) -> dict[int, float | None]:
    """AP of each class.

    Args:
        labels: (image, class, 1 for there or 0 for not) as humans said.
    """
    truth: dict[tuple[int, int], tuple[list[Box], list[Box]]] = {}
    verified = set()
    for one in boxes:
        for label in (one["category_id"], *above(one["category_id"])):
            key = one["image_id"], label
            verified.add(key)
            truth.setdefault(key, ([], []))[one["iscrowd"]].append(one["bbox"])
    for image, label, there in labels:
        below = [one for one in PARENTS if label in above(one)]
        verified |= {(image, one) for one in (label, *(above(label) if there else below))}
    scores: dict[int, float | None] = {}
    for label in PARENTS:
        shown, objects = list[tuple[float, bool]](), 0
        for image in range(images):
            single, groups = truth.get((image, label), ([], []))
            objects += len(single) + len(groups)
            own = [
                (one["score"], one["bbox"])
                for one in results
                if one["image_id"] == image
                and label in (one["category_id"], *above(one["category_id"]))
                and one["bbox"][2] > 0 < one["bbox"][3]
            ]
            own.sort(key=lambda one: -one[0])
            if (image, label) in verified:
                shown += one_image(own, single, groups)
        scores[label] = average_precision(shown, objects) if objects else None
    return scores


# --- made data ------------------------------------------------------------------------------------


def box(image: int, label: int, bbox: Box, group: int = 0) -> dict[str, Any]:
    return {"image_id": image, "category_id": label, "bbox": bbox, "iscrowd": group}


def hit(image: int, label: int, bbox: Box, score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": label, "bbox": bbox, "score": score}


def table(boxes: list[dict[str, Any]], labels: list[tuple[int, int, int]], images: int) -> Table:
    """The same as the reader gives it; ids are those of the boxes, from 0."""
    boxes = sorted(boxes, key=lambda one: one["image_id"])
    pairs = {
        (one["image_id"], label)
        for one in boxes
        for label in (one["category_id"], *above(one["category_id"]))
    }
    for image, label, there in labels:
        below = [one for one in PARENTS if label in above(one)]
        pairs |= {(image, one) for one in (label, *(above(label) if there else below))}
    sides = np.array([one["bbox"] for one in boxes], float).reshape(-1, 4)
    return Table(
        categories=[(label, f"class {label}") for label in PARENTS],
        image_ids=np.arange(images),
        image_sizes=np.full((images, 2), 100),
        file_names=[f"{image}.jpg" for image in range(images)],
        ids=np.arange(len(boxes)),
        image_rows=np.array([one["image_id"] for one in boxes], np.int64),
        labels=np.array([one["category_id"] for one in boxes], np.int64),
        boxes=sides,
        areas=sides[:, 2] * sides[:, 3],
        crowd=np.array([one["iscrowd"] for one in boxes], np.int64),
        sources=(Path("made"),),
        verified=np.array(sorted(pairs), np.int64).reshape(-1, 2),
        ancestors=tuple(np.array(above(label), np.int64) for label in PARENTS),
    )


def made(seed: int, images: int = 4) -> tuple[Any, Any, Any]:
    """Random boxes, labels and results: coarse boxes, so that overlaps tie and reach one half."""
    rng = np.random.default_rng(seed)
    boxes, labels, results = [], [], []
    scores = iter(rng.permutation(2000) / 2000)  # none twice, and 0 among them
    for image in range(images):
        for _ in range(int(rng.integers(0, 6))):
            sides = [float(v) for v in (*rng.integers(0, 8, 2) * 5, *rng.integers(1, 6, 2) * 10)]
            label = int(rng.integers(5))
            boxes.append(box(image, label, sides, int(rng.random() < 0.3)))
            for _ in range(int(rng.integers(0, 5))):
                moved = [float(v) for v in np.array(sides) + rng.integers(-2, 3, 4) * 5]
                moved[2:] = [max(side, 0.0) for side in moved[2:]]
                near = int(rng.choice([label, label, *above(label), int(rng.integers(5))]))
                results.append(hit(image, near, moved, float(next(scores))))
        for _ in range(int(rng.integers(0, 4))):
            labels.append((image, int(rng.integers(5)), int(rng.integers(2))))
            sides = [float(v) for v in (*rng.uniform(0, 40, 2), *rng.uniform(1, 40, 2))]
            results.append(hit(image, int(rng.integers(5)), sides, float(next(scores))))
    order = rng.permutation(len(results))
    return boxes, labels, [results[row] for row in order]


def check(boxes: Any, labels: Any, results: Any, images: int = 4) -> dict[int, float | None]:
    found = openimages.by_class(table(boxes, labels, images), results)
    expected = official(boxes, labels, results, images)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=False)
    defined = [one for one in expected.values() if one is not None]
    mean = openimages.evaluate(table(boxes, labels, images), results)["openimages"]
    assert mean == pytest.approx(sum(defined) / len(defined) if defined else None, abs=1e-12)
    return found


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_any_set_scores_as_by_the_official_evaluation(seed: int) -> None:
    check(*made(seed))


def test_made_sets_ask_all_that_the_protocol_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule changes scores of the made sets, which are neither 0 nor 1."""
    sets = [made(seed) for seed in range(40)]
    whole = [check(*one) for one in sets]
    values = [value for one in whole for value in one.values() if value is not None]
    assert 0.1 < np.mean(values) < 0.9
    assert len({round(value, 6) for value in values}) > 60
    plain = tuple(np.zeros(0, np.int64) for _ in PARENTS)
    for change in ({"ancestors": plain}, {"verified": None}, {"crowd": None}):
        differs = 0
        for (boxes, labels, results), expected in zip(sets, whole, strict=True):
            ground = table(boxes, labels, 4)
            given: Any = change if "crowd" not in change else {"crowd": np.zeros_like(ground.crowd)}
            differs += openimages.by_class(replace(ground, **given), results) != expected
        assert differs >= 15, change
    monkeypatch.setattr(openimages, "_PAIRS", 3)  # held against each other in many parts
    assert [openimages.by_class(table(b, p, 4), r) for b, p, r in sets] == whole


# --- edges, with the numbers that the rules give --------------------------------------------------

WHOLE: Box = [0.0, 0.0, 40.0, 40.0]
HALF: Box = [0.0, 0.0, 40.0, 20.0]  # of the one before: IoU and share of 1/2
OUT: Box = [60.0, 60.0, 20.0, 20.0]


def test_a_detection_is_right_from_half_on() -> None:
    assert check([box(0, 4, WHOLE)], [], [hit(0, 4, HALF, 0.5)])[4] == 1
    less = [0.0, 0.0, 40.0, 19.99]
    assert check([box(0, 4, WHOLE)], [], [hit(0, 4, less, 0.5)])[4] == 0


def test_only_boxes_of_groups() -> None:
    """What lies half in one counts for it, once, with the best score; what does not is wrong."""
    group = [box(0, 4, WHOLE, 1)]
    inside = [hit(0, 4, [10.0 * i, 0.0, 10.0, 10.0], 0.3 + 0.1 * i) for i in range(4)]
    assert check(group, [], inside)[4] == 1
    assert check(group, [], [])[4] == 0
    hanging = [hit(0, 4, [30.0, 0.0, 20.0, 10.0], 0.5)]  # half of it
    assert check(group, [], hanging)[4] == 1
    assert check(group, [], [hit(0, 4, [30.1, 0.0, 20.0, 10.0], 0.5)])[4] == 0
    wrong = [hit(0, 4, OUT, 0.55)]
    assert check(group, [], wrong + inside)[4] == 1  # the best inside is above it
    assert check(group, [], [*wrong, *inside[:2]])[4] == 0.5
    assert check(group, [], [hit(0, 4, WHOLE, 0.0)])[4] == 0  # as the tools have it


def test_a_group_and_an_object_of_it() -> None:
    """Each counts one; a duplicate of the object is the group's."""
    both = [box(0, 4, WHOLE, 1), box(0, 4, [0.0, 0.0, 10.0, 10.0])]
    twice = [hit(0, 4, [0.0, 0.0, 10.0, 10.0], score) for score in (0.9, 0.8)]
    assert check(both, [], twice[:1])[4] == 0.5
    assert check(both, [], twice)[4] == 1
    assert check(both[1:], [], twice)[4] == 1  # the wrong one comes last
    assert check([both[1], box(1, 4, WHOLE)], [], [*twice, hit(1, 4, WHOLE, 0.1)])[
        4
    ] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_class_without_an_object_has_no_score() -> None:
    found = check([box(0, 4, WHOLE)], [(0, 3, 0)], [hit(0, 3, WHOLE, 0.9), hit(0, 4, WHOLE, 0.8)])
    assert found == {0: None, 1: None, 2: None, 3: None, 4: 1}
    assert check([], [], []) == dict.fromkeys(PARENTS)
    assert openimages.evaluate(table([], [], 2), []) == {"openimages": None}


def test_classes_that_nobody_verified_do_not_count() -> None:
    objects = [box(0, 4, WHOLE), box(1, 1, WHOLE)]
    results = [
        hit(1, 4, OUT, 0.9),
        hit(0, 4, WHOLE, 0.8),
        hit(0, 1, OUT, 0.7),
        hit(1, 1, WHOLE, 0.6),
    ]
    assert check(objects, [], results)[4] == 1
    assert check(objects, [(1, 4, 0)], results)[4] == 0.5
    assert check(objects, [(1, 4, 1)], results)[4] == 0.5
    # an animal is seen: which one, nobody said; none is seen: no dog either
    assert check(objects, [(0, 0, 1)], results)[1] == 1
    assert check(objects, [(0, 0, 0)], results)[1] == 0.5
    # a puppy is seen, and so a dog
    assert check(objects, [(0, 2, 1)], results)[1] == 0.5


def test_what_is_of_a_class_is_of_those_above() -> None:
    found = check([box(0, 2, WHOLE)], [], [hit(0, 2, WHOLE, 0.5)])
    assert found == {0: 1, 1: 1, 2: 1, 3: None, 4: None}
    found = check([box(0, 2, WHOLE)], [], [hit(0, 1, WHOLE, 0.5)])
    assert found == {0: 1, 1: 1, 2: 0, 3: None, 4: None}
    found = check([box(0, 1, WHOLE)], [], [hit(0, 2, WHOLE, 0.5)])
    assert found == {0: 1, 1: 1, 2: None, 3: None, 4: None}
    found = check([box(0, 3, WHOLE)], [], [hit(0, 2, WHOLE, 0.5), hit(0, 3, OUT, 0.4)])
    assert found == {0: 1, 1: None, 2: None, 3: 0, 4: None}


def test_of_equal_scores_the_first_comes_first() -> None:
    """The tools leave it to their sorting."""
    objects, right, wrong = [box(0, 4, WHOLE)], hit(0, 4, WHOLE, 0.5), hit(0, 4, OUT, 0.5)
    assert check(objects, [], [right, wrong])[4] == 1
    assert check(objects, [], [wrong, right])[4] == 0.5
    apart = [box(0, 4, WHOLE), box(1, 4, WHOLE)]
    mixed = [hit(1, 4, OUT, 0.5), right, hit(1, 4, WHOLE, 0.5)]
    assert openimages.by_class(table(apart, [], 2), mixed)[4] == pytest.approx(2 / 3)
    groups = [box(0, 4, WHOLE, 1)]
    assert openimages.by_class(table(groups, [], 1), [right, wrong])[4] == 1
    assert openimages.by_class(table(groups, [], 1), [wrong, right])[4] == 0.5


def test_the_first_of_the_boxes_that_overlap_alike() -> None:
    pair = [box(0, 4, [0.0, 0.0, 20.0, 20.0]), box(0, 4, [0.0, 0.0, 20.0, 20.0])]
    twice = [hit(0, 4, [0.0, 0.0, 20.0, 20.0], score) for score in (0.9, 0.8)]
    assert check(pair, [], twice)[4] == 0.5  # both are held against the first


def test_detections_without_area_do_not_count() -> None:
    flat = hit(0, 4, [0.0, 0.0, 40.0, 0.0], 0.9)
    assert check([box(0, 4, WHOLE)], [], [flat, hit(0, 4, WHOLE, 0.8)])[4] == 1


def test_only_the_first_images() -> None:
    boxes, labels, results = made(5)
    less = [one for one in boxes if one["image_id"] < 2]
    fewer = [one for one in labels if one[0] < 2]
    found = openimages.by_class(table(boxes, labels, 4), results, limit=2)
    assert found == pytest.approx(official(less, fewer, results, 2))


def test_without_a_hierarchy_or_labels_all_is_verified() -> None:
    """As of COCO's dictionary: scenes of shapes in families, where all is annotated."""
    drawn = Shapes(kind="shapes", size=64, train=4, val=4, classes=15)
    truth = drawn.truth(Path())
    results = [
        {**{key: one[key] for key in ("image_id", "category_id", "bbox")}, "score": 0.5}
        for one in truth["annotations"]
    ]
    scores = openimages.by_class(truth, results)
    present = {one["category_id"] for one in truth["annotations"]}
    assert {number for number, one in scores.items() if one == 1} >= present
    assert scores[13] == 1  # outlines are found by what is above them
    stray = {"image_id": 1, "category_id": 14, "bbox": [0.0, 0.0, 3.0, 3.0], "score": 0.9}
    less = openimages.by_class(truth, [*results, stray])[14]
    assert less is not None
    assert less < 1
    metrics = scoring.score(drawn, truth, results, Evaluation())
    assert metrics["openimages"] == 1
    assert metrics["AP"] == 1


# --- as commands have it -------------------------------------------------------------------------


def test_eval_scores_results_of_another_tool(
    tmp_path: Path,
) -> None:
    make_openimages(tmp_path)
    truth = OpenImages(kind="openimages").truth(tmp_path)
    content = truth.ground_truth("")
    results = [
        {**{key: one[key] for key in ("image_id", "category_id", "bbox")}, "score": 0.5}
        for one in content["annotations"]
    ][1:]
    (tmp_path / "found.json").write_text(json.dumps(results))
    words = ["eval", "--results", str(tmp_path / "found.json"), "--dataset", "openimages"]
    done = CliRunner().invoke(app, [*words, "--data-root", str(tmp_path), "--format", "json"])
    assert done.exit_code == 0, done.output
    [row] = json.loads(done.stdout)["rows"]
    expected = openimages.evaluate(truth, results)["openimages"]
    assert expected is not None
    assert 0.5 < expected < 1
    assert math.isclose(row["openimages"], 100 * expected)


def test_its_protocol_is_said() -> None:
    data = OpenImages(kind="openimages")
    said = scoring.rules(data, "openimages")
    assert (said["iou"], said["group-of"], said["hierarchy"]) == (0.5, "found once", "expanded")
    assert scoring.rules(data, "AP") == {"group-of": "as COCO's crowds"}
    assert "AP50 (OpenImages)" in (scoring.sentence(data) or "")
