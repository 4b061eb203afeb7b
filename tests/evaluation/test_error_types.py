"""TIDE's error types on made cases whose every number is worked out by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from detbench.evaluation.coco import evaluate
from detbench.evaluation.error_types import (
    BKG,
    BOTH,
    CLS,
    CORRECT,
    DUPE,
    LOC,
    MAIN,
    ErrorTypes,
    error_types,
    judge,
)
from detbench.recipe.experiment import Evaluation

BOX = [100.0, 100.0, 100.0, 100.0]
FAR = [400.0, 400.0, 50.0, 50.0]
CAT, DOG = 1, 2


def beside(iou: float) -> list[float]:
    """A box as large as ``BOX``, moved to the right until their IoU is ``iou``."""
    return [100.0 + 100.0 * (1 - iou) / (1 + iou), 100.0, 100.0, 100.0]


def truth(*objects: tuple[Any, ...], images: int = 1) -> dict[str, Any]:
    """Objects as (category, box) with perhaps ``True`` for a crowd and an image."""
    annotations = []
    for number, (category, box, *rest) in enumerate(objects, start=1):
        crowd, image = (*rest, *(False, 1)[len(rest) :])
        annotations.append(
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(crowd),
            }
        )
    return {
        "images": [{"id": i + 1, "width": 500, "height": 500} for i in range(images)],
        "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
        "annotations": annotations,
    }


def found(*detections: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Detections as (category, box, score) with perhaps an image."""
    return [
        {"image_id": (*rest, 1)[0], "category_id": category, "bbox": box, "score": score}
        for category, box, score, *rest in detections
    ]


def costs(truth: dict[str, Any], found: list[dict[str, Any]]) -> ErrorTypes:
    costs = error_types(truth, found, Evaluation())
    assert costs is not None
    return costs


def only(costs: ErrorTypes, **expected: float) -> None:
    """Check the named costs, and that the other types cost nothing."""
    for name in MAIN:
        assert getattr(costs, name) == pytest.approx(expected.get(name, 0.0), abs=1e-12), name


def kinds(truth: dict[str, Any], found: list[dict[str, Any]]) -> list[int]:
    return judge(truth, found, Evaluation()).kinds.tolist()


def test_a_detector_without_errors_costs_nothing() -> None:
    result = costs(truth((CAT, BOX), (DOG, FAR)), found((CAT, BOX, 0.9), (DOG, FAR, 0.8)))
    only(result)
    assert (result.ap50, result.false_positive, result.false_negative) == (1.0, 0.0, 0.0)


def test_loc_a_box_of_the_right_class_that_is_too_far_off() -> None:
    result = costs(truth((CAT, BOX)), found((CAT, beside(0.3), 0.9)))
    # It was the only object: mended, AP50 goes from 0 to 1. Nothing is missed, as an error is
    # about the object; without the need for it (false_negative) the detection would be wrong.
    only(result, loc=1.0)
    assert result.ap50 == 0.0
    assert result.false_negative == 0.0


def test_cls_a_good_box_of_the_wrong_class_is_moved_to_the_right_one() -> None:
    result = costs(
        truth((CAT, BOX), (DOG, FAR)), found((DOG, BOX, 0.9), (DOG, FAR, 0.8), (DOG, FAR, 0.1))
    )
    # dog: wrong, right, a duplicate: precision 1/2 at recall 1. cat: nothing. AP50 (1/2 + 0) / 2.
    assert result.ap50 == pytest.approx(0.25)
    # cls mended: cat 1 and dog 1. The duplicate comes after all recall: it costs nothing.
    only(result, cls=0.75)
    assert result.false_positive == pytest.approx(0.25)  # dog becomes 1
    assert result.false_negative == pytest.approx(0.25)  # cat leaves the mean


def test_dupe_a_second_detection_of_an_object() -> None:
    objects = truth((CAT, BOX), (CAT, FAR))
    result = costs(objects, found((CAT, BOX, 0.9), (CAT, beside(0.8), 0.8), (CAT, FAR, 0.7)))
    # Precision 1 up to recall 1/2 (51 of 101 recalls), 2/3 from there (50).
    assert result.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    only(result, dupe=50 / 3 / 101)
    assert result.false_positive == pytest.approx(50 / 3 / 101)


def test_bkg_a_detection_of_nothing() -> None:
    result = costs(truth((CAT, BOX)), found((CAT, FAR, 0.9), (CAT, BOX, 0.8)))
    assert result.ap50 == pytest.approx(0.5)
    only(result, bkg=0.5)


def test_both_wrong_class_and_badly_placed() -> None:
    objects = truth((CAT, BOX), (DOG, FAR))
    result = costs(objects, found((DOG, beside(0.3), 0.9), (DOG, FAR, 0.8), (CAT, BOX, 0.7)))
    assert result.ap50 == pytest.approx(0.75)  # dog 1/2, cat 1
    only(result, both=0.25)


def test_miss_an_object_that_nothing_is_about() -> None:
    result = costs(truth((CAT, BOX), (CAT, FAR)), found((CAT, BOX, 0.9)))
    assert result.ap50 == pytest.approx(51 / 101)
    only(result, miss=50 / 101)
    assert result.false_negative == pytest.approx(50 / 101)


def test_no_detection_at_all_misses_everything() -> None:
    result = costs(truth((CAT, BOX)), [])
    only(result, miss=1.0)
    assert (result.ap50, result.false_positive, result.false_negative) == (0.0, 0.0, 1.0)
    assert judge(truth((CAT, BOX)), [], Evaluation()).missed().tolist() == [True]


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        ((CAT, beside(0.5000001)), CORRECT),
        ((CAT, beside(0.4999999)), LOC),
        ((CAT, beside(0.1000001)), LOC),
        ((CAT, beside(0.0999999)), BKG),
        ((DOG, beside(0.5000001)), CLS),
        ((DOG, beside(0.4999999)), BOTH),
        ((DOG, beside(0.1000001)), BOTH),
        ((DOG, beside(0.0999999)), BKG),
    ],
)
def test_the_thresholds_are_a_half_and_a_tenth(detection: tuple[Any, ...], kind: int) -> None:
    assert kinds(truth((CAT, BOX)), found((*detection, 0.9))) == [kind]


def test_an_error_that_fits_two_types_is_loc_before_cls_before_dupe() -> None:
    near = [130.0, 100.0, 100.0, 100.0]  # IoU 70/130 with BOX
    between = beside(0.45)
    assert kinds(truth((CAT, BOX), (DOG, between)), found((CAT, between, 0.9))) == [LOC]
    two = truth((CAT, BOX), (DOG, near))
    assert kinds(two, found((CAT, BOX, 0.9), (CAT, beside(0.9), 0.8))) == [CORRECT, CLS]


def test_of_several_errors_about_an_object_the_best_is_mended_and_the_rest_vanish() -> None:
    objects = truth((CAT, BOX))
    result = costs(
        objects, found((CAT, FAR, 0.9), (CAT, beside(0.3), 0.8), (CAT, beside(0.4), 0.7))
    )
    # Mended: background, then right, and no duplicate after it.
    assert result.loc == pytest.approx(0.5)
    assert result.bkg == 0.0


def test_the_best_error_about_an_object_may_be_of_another_type() -> None:
    result = costs(truth((CAT, BOX)), found((DOG, BOX, 0.9), (CAT, beside(0.3), 0.8)))
    # The cls error is the object's; mending loc removes the other, which gains nothing.
    only(result, cls=1.0)
    assert kinds(truth((CAT, BOX)), found((DOG, BOX, 0.9), (CAT, beside(0.3), 0.8))) == [CLS, LOC]


def test_errors_about_an_object_that_was_found_vanish() -> None:
    result = costs(truth((CAT, BOX)), found((CAT, beside(0.3), 0.9), (CAT, BOX, 0.8)))
    assert result.ap50 == pytest.approx(0.5)
    only(result, loc=0.5)
    assert not judge(
        truth((CAT, BOX)), found((CAT, beside(0.3), 0.9), (CAT, BOX, 0.8)), Evaluation()
    ).missed()[0]


def test_a_detection_in_a_crowd_of_its_class_is_ignored() -> None:
    objects = truth((CAT, BOX), (CAT, FAR, True))
    inside = [410.0, 410.0, 20.0, 20.0]
    result = costs(objects, found((CAT, inside, 0.9), (CAT, BOX, 0.8)))
    only(result)
    assert result.ap50 == 1.0
    other = costs(objects, found((DOG, inside, 0.9), (CAT, inside, 0.8), (CAT, BOX, 0.7)))
    assert other.ap50 == 1.0  # dog has no objects; it does not count
    half = [425.0, 400.0, 50.0, 50.0]  # half inside, not more
    assert costs(objects, found((CAT, half, 0.9), (CAT, BOX, 0.8))).ap50 == pytest.approx(0.5)


def test_an_ignored_detection_can_be_mended() -> None:
    objects = truth((CAT, BOX), (CAT, [0.0, 0.0, 300.0, 300.0], True))
    result = costs(objects, found((CAT, beside(0.3), 0.9)))
    only(result, loc=1.0)


def test_a_crowd_is_not_missed() -> None:
    assert error_types(truth((CAT, BOX, True)), [], Evaluation()) is None


def test_the_best_detections_of_an_image_count_whatever_their_classes() -> None:
    objects = truth((CAT, BOX))
    many = found((DOG, FAR, 0.9), (CAT, BOX, 0.8))
    assert judge(objects, many, Evaluation(max_detections=1)).kinds.tolist() == [BKG]
    result = error_types(objects, many, Evaluation(max_detections=1))
    assert result is not None
    assert result.ap50 == 0.0


def test_only_the_first_images_count() -> None:
    objects = truth((CAT, BOX), (CAT, BOX, False, 2), images=2)
    result = error_types(objects, found((CAT, BOX, 0.9)), Evaluation(limit=1))
    assert result is not None
    assert result.ap50 == 1.0


def test_objects_and_detections_of_images_stay_apart() -> None:
    objects = truth((CAT, BOX), (DOG, BOX, False, 2), images=3)
    detections = found((CAT, BOX, 0.9, 2), (CAT, BOX, 0.8, 3), (CAT, BOX, 0.7, 1))
    assert kinds(objects, detections) == [CORRECT, CLS, BKG]


def test_ap50_is_cocos_on_random_data() -> None:
    draw = random.Random(0)
    objects, detections = [], []
    for image in range(1, 41):
        for _ in range(draw.randrange(5)):
            box = [draw.uniform(0, 300), draw.uniform(0, 300), draw.uniform(20, 99), 60.0]
            box_class = draw.choice((CAT, DOG))
            objects.append((box_class, box, draw.random() < 0.1, image))
            for _ in range(draw.randrange(4)):
                moved = [abs(side + draw.gauss(0, 12)) for side in box]
                detections.append(
                    (draw.choice((box_class, box_class, DOG)), moved, draw.random(), image)
                )
    ground, results = truth(*objects, images=40), found(*detections)
    result = costs(ground, results)
    reference = evaluate(ground, results, Evaluation())
    assert result.ap50 == pytest.approx(reference["AP50"], abs=1e-12)
    assert 0.1 < result.ap50 < 0.9
    assert all(0 <= getattr(result, name) <= 1 - result.ap50 for name in MAIN)
    assert result.cls > 0.01
    assert {CORRECT, CLS, LOC, BOTH, DUPE, BKG} == set(kinds(ground, results))
