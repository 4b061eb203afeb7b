"""VOC's AP against the development kit's algorithm, written out detection by detection."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from detbench.cli.main import main
from detbench.data.kinds import Shapes, Voc
from detbench.evaluation import scoring, voc
from detbench.evaluation.coco import evaluate
from detbench.recipe.experiment import Evaluation

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_voc import make_voc

VOC = Voc(kind="voc")


def kit_class(objects, found, iou, pixel):
    """VOCevaldet for one class: (true positives, false positives) in order, objects to find.

    Args:
        objects: image -> list of (x1, y1, x2, y2, difficult).
        found: list of (score, image, (x1, y1, x2, y2)).
    """
    taken = {image: [False] * len(boxes) for image, boxes in objects.items()}
    positives = sum(1 for boxes in objects.values() for box in boxes if not box[4])
    # A sort by insertion behind equals: whoever came first stays first.
    ordered = []
    for one in found:
        place = len(ordered)
        while place > 0 and ordered[place - 1][0] < one[0]:
            place -= 1
        ordered.insert(place, one)
    tp, fp = [], []
    for _, image, bb in ordered:
        best, which = float("-inf"), None
        for number, gt in enumerate(objects.get(image, [])):
            iw = min(bb[2], gt[2]) - max(bb[0], gt[0]) + pixel
            ih = min(bb[3], gt[3]) - max(bb[1], gt[1]) + pixel
            if iw > 0 and ih > 0:
                union = (
                    (bb[2] - bb[0] + pixel) * (bb[3] - bb[1] + pixel)
                    + (gt[2] - gt[0] + pixel) * (gt[3] - gt[1] + pixel)
                    - iw * ih
                )
                if iw * ih / union > best:
                    best, which = iw * ih / union, number
        tp.append(0)
        fp.append(0)
        if best >= iou:
            if not objects[image][which][4]:
                if not taken[image][which]:
                    tp[-1] = 1
                    taken[image][which] = True
                else:
                    fp[-1] = 1
        else:
            fp[-1] = 1
    return tp, fp, positives


def kit_ap(tp, fp, positives):
    """VOCap of 2007 and of 2010, in exact fractions."""
    recall, precision = [], []
    hits = misses = 0
    for right, wrong in zip(tp, fp, strict=True):
        hits, misses = hits + right, misses + wrong
        recall.append(Fraction(hits, positives))
        precision.append(Fraction(hits, hits + misses) if hits + misses else Fraction(0))
    eleven = Fraction(0)
    for tenth in range(11):
        best = Fraction(0)
        for r, p in zip(recall, precision, strict=True):
            if r >= Fraction(tenth, 10) and p > best:
                best = p
        eleven += best / 11
    mrec = [Fraction(0), *recall, Fraction(1)]
    mpre = [Fraction(0), *precision, Fraction(0)]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    area = sum(
        ((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1]),
        Fraction(0),
    )
    return float(eleven), float(area)


def kit(ground, results, iou=0.5, pixel=1):
    """(11-point, area) or none per class."""
    scores = []
    for category in ground["categories"]:
        objects, found = {}, []
        for one in ground["annotations"]:
            if one["category_id"] == category["id"]:
                x, y, w, h = one["bbox"]
                objects.setdefault(one["image_id"], []).append((x, y, x + w, y + h, one["iscrowd"]))
        for one in results:
            if one["category_id"] == category["id"]:
                x, y, w, h = one["bbox"]
                found.append((one["score"], one["image_id"], (x, y, x + w, y + h)))
        tp, fp, positives = kit_class(objects, found, iou, pixel)
        scores.append(kit_ap(tp, fp, positives) if positives else None)
    return scores


def made(seed, images=12, classes=4):
    """Random truth and results: coarse boxes and scores, so that overlaps and scores tie."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(images):
        for _ in range(int(rng.integers(0, 6))):
            box = [int(v) for v in (*rng.integers(0, 8, 2) * 5, *rng.integers(2, 8, 2) * 5)]
            label = int(rng.integers(0, classes))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": label,
                    "bbox": box,
                    "iscrowd": int(rng.random() < 0.25),
                }
            )
            for _ in range(int(rng.integers(0, 4))):  # duplicates too
                moved = [float(v) for v in np.array(box) + rng.integers(-4, 5, 4)]
                other = rng.random() < 0.1
                results.append(detection(image, (label + other) % classes, moved, rng))
        for _ in range(int(rng.integers(0, 4))):
            box = [float(v) for v in (*rng.uniform(0, 40, 2), *rng.uniform(1, 40, 2))]
            results.append(detection(image, int(rng.integers(0, classes)), box, rng))
    order = rng.permutation(len(results))
    ground = {
        "images": [{"id": image, "width": 80, "height": 80} for image in range(images)],
        "categories": [{"id": label, "name": str(label)} for label in range(classes)],
        "annotations": annotations,
    }
    return ground, [results[row] for row in order]


def detection(image, label, box, rng):
    score = float(rng.integers(1, 12)) / 12
    return {"image_id": image, "category_id": label, "bbox": box, "score": score}


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(("iou", "pixel"), [(0.5, 1), (0.5, 0), (0.7, 1)])
def test_agrees_with_the_kit_on_random_data(seed, iou, pixel):
    ground, results = made(seed)
    expected = kit(ground, results, iou, pixel)
    scores = voc.by_class(ground, results, iou=iou, inclusive=bool(pixel))
    assert [one.category_id for one in scores] == [0, 1, 2, 3]
    for one, two in zip(scores, expected, strict=True):
        assert (one.voc07, one.area) == pytest.approx(two or (None, None), abs=1e-12)
    means = np.mean([one for one in expected if one is not None], axis=0)
    found = voc.evaluate(ground, results, iou=iou, inclusive=bool(pixel))
    assert (found["VOC07"], found["VOC"]) == pytest.approx(tuple(means), abs=1e-12)


def test_the_random_data_has_what_it_should():
    """Neither 0 nor 1; the pixel, difficult objects, ties and COCO's way make a difference."""
    differing = dict.fromkeys(("pixel", "easy", "order", "coco"), 0)
    for seed in range(25):
        ground, results = made(seed)
        plain = voc.evaluate(ground, results)
        assert 0.1 < plain["VOC07"] < 0.9
        assert 0.1 < plain["VOC"] < 0.9
        easy = ground | {"annotations": [one | {"iscrowd": 0} for one in ground["annotations"]]}
        coco = evaluate(ground, results, Evaluation())["AP50"]
        differing["pixel"] += plain != voc.evaluate(ground, results, inclusive=False)
        differing["easy"] += plain != voc.evaluate(easy, results)
        differing["order"] += plain != voc.evaluate(ground, results[::-1])
        differing["coco"] += abs(plain["VOC"] - coco) > 0.01
    assert all(seeds >= 5 for seeds in differing.values()), differing


def one_class(boxes, difficult=None, images=1):
    return {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": 7, "name": "thing"}],
        "annotations": [
            {"id": n, "image_id": 0, "category_id": 7, "bbox": box, "iscrowd": int(flag)}
            for n, (box, flag) in enumerate(
                zip(boxes, difficult or [False] * len(boxes), strict=True), start=1
            )
        ],
    }


def hit(box, score, image=0):
    return {"image_id": image, "category_id": 7, "bbox": box, "score": score}


A, B = [0, 0, 9, 9], [50, 50, 9, 9]


def test_a_duplicate_is_wrong():
    ground = one_class([A, B])
    assert voc.evaluate(ground, [hit(A, 0.9), hit(B, 0.8)]) == {"VOC07": 1.0, "VOC": 1.0}
    found = voc.evaluate(ground, [hit(A, 0.9), hit(A, 0.85), hit(B, 0.8)])
    assert found["VOC"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found["VOC07"] == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_a_duplicate_is_wrong_even_where_another_object_is_near():
    """VOC takes the best object, found or not; COCO would give the second one its neighbour."""
    near = [1, 0, 9, 9]
    ground = one_class([A, near])
    results = [hit(A, 0.9), hit(A, 0.8)]
    assert voc.evaluate(ground, results)["VOC"] == pytest.approx(0.5)
    assert evaluate(ground, results, Evaluation())["AP50"] == pytest.approx(1.0)


def test_difficult_objects_neither_help_nor_harm():
    ground = one_class([A, B], [False, True])
    alone = voc.evaluate(one_class([A]), [hit(A, 0.5)])
    assert alone == {"VOC07": 1.0, "VOC": 1.0}
    assert voc.evaluate(ground, [hit(A, 0.5)]) == alone
    assert voc.evaluate(ground, [hit(B, 0.9), hit(B, 0.8), hit(A, 0.5)]) == alone
    assert voc.evaluate(ground, [hit(B, 0.9)]) == {"VOC07": 0.0, "VOC": 0.0}


def test_the_last_pixel_counts():
    """IoU of 10x10 and 10x5 whole pixels is exactly a half; without the pixel, 9x9 and 9x4."""
    ground = one_class([A])
    half = [hit([0, 0, 9, 4], 1.0)]
    assert voc.evaluate(ground, half)["VOC"] == 1.0
    assert voc.evaluate(ground, half, inclusive=False)["VOC"] == 0.0


def test_recall_of_exactly_three_tenths_reaches_its_level():
    boxes = [[100 * n, 0, 9, 9] for n in range(10)]
    found = voc.evaluate(one_class(boxes), [hit(box, 0.5) for box in boxes[:3]])
    assert found["VOC07"] == pytest.approx(4 / 11)
    assert found["VOC"] == pytest.approx(0.3)


def test_nothing_found_and_nothing_to_find():
    assert voc.evaluate(one_class([A]), []) == {"VOC07": 0.0, "VOC": 0.0}
    none = {"VOC07": None, "VOC": None}
    assert voc.evaluate(one_class([]), [hit(A, 1.0)]) == none
    assert voc.evaluate(one_class([A], [True]), [hit(A, 1.0)]) == none
    # An image without objects: what is found there is wrong.
    ground = one_class([A], images=2)
    assert voc.evaluate(ground, [hit(A, 0.9, image=1), hit(A, 0.8)])["VOC"] == pytest.approx(0.5)
    # A class without objects has no say in the mean.
    two = one_class([A])
    two["categories"].append({"id": 8, "name": "other"})
    assert voc.evaluate(two, [hit(A, 0.9)]) == {"VOC07": 1.0, "VOC": 1.0}
    assert [one.objects for one in voc.by_class(two, [])] == [1, 0]


def test_only_the_first_images():
    ground = one_class([A], images=2)
    results = [hit(A, 0.9, image=1), hit(A, 0.8)]
    assert voc.evaluate(ground, results, limit=1)["VOC"] == 1.0


def perfect(ground, difficult):
    return [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 1}
        for a in ground["annotations"]
        if difficult or not a["iscrowd"]
    ]


@pytest.mark.parametrize("engine", ["faster", "pycocotools"])
def test_cocos_metrics_on_voc_ignore_difficult_objects(tmp_path, engine):
    ground = VOC.truth(make_voc(tmp_path)).ground_truth("")
    assert sum(one["iscrowd"] for one in ground["annotations"]) >= 6
    for difficult in (False, True):
        found = scoring.score(VOC, ground, perfect(ground, difficult), Evaluation(), engine)
        assert all(found[key] == pytest.approx(1.0) for key in ("AP", "AP50", "AP95", "VOC"))
    nothing = scoring.score(VOC, ground, [], Evaluation(), engine)
    assert (nothing["AP"], nothing["VOC07"]) == (0.0, 0.0)


def test_vocs_metrics_are_for_voc_alone():
    ground, results = made(1)
    assert {"VOC07", "VOC"} <= set(scoring.score(VOC, ground, results, Evaluation()))
    for other in (None, Shapes(kind="shapes")):
        assert not {"VOC07", "VOC"} & set(scoring.score(other, ground, results, Evaluation()))
        assert scoring.rules(other, "AP") == {}
        assert scoring.sentence(other) is None


def test_each_metric_names_its_rules():
    assert scoring.rules(VOC, "AP50") == {"difficult": "as COCO's crowds"}
    seven, area = (scoring.rules(VOC, metric) for metric in ("VOC07", "VOC"))
    assert (seven["average"], area["average"], seven["iou"]) == ("11 points", "area", 0.5)
    assert seven["evaluator"] != "faster-coco-eval"


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    return capsys.readouterr()


def test_eval_of_a_results_file_on_voc(tmp_path, capsys):
    root = make_voc(tmp_path)
    ground = VOC.truth(root).ground_truth("")
    (tmp_path / "found.json").write_text(json.dumps(perfect(ground, False)))
    options = ["--dataset", "voc", "--data-root", str(root)]
    found = ["--results", str(tmp_path / "found.json")]
    out = json.loads(call(capsys, "eval", *found, *options, "--format", "json").out)
    row = out["rows"][0]
    assert (row["VOC07"], row["VOC"], row["AP50"]) == (100.0, 100.0, 100.0)
    said = call(capsys, "eval", *found, *options, "--format", "markdown").out
    assert "VOC 2007_test, 6 images" in said
    assert "VOC07 (11 points) and VOC (area)" in said


def test_a_detector_is_scored_on_voc_as_its_detections_are(tmp_path, capsys, monkeypatch):
    root = make_voc(tmp_path, images=3)
    monkeypatch.chdir(tmp_path)
    settings = (
        "training.input.short=64",
        "training.input.long=96",
        "inference.score_threshold=0.0",
    )
    options = [
        "--profile",
        "smoke",
        "--dataset",
        "voc",
        "--data-root",
        str(root),
        "--format",
        "json",
    ]
    options += [part for one in settings for part in ("--set", one)]
    keep = ["--weights", "none", "--save", "kept.json"]
    first = json.loads(call(capsys, "eval", "fcos-r50", *options, *keep).out)["rows"][0]
    again = json.loads(call(capsys, "eval", "--results", "kept.json", *options[:8]).out)["rows"][0]
    assert {"VOC07", "VOC", "AP50"} <= set(first)
    assert {k: v for k, v in first.items() if k != "name"} == {
        k: v for k, v in again.items() if k != "name"
    }
