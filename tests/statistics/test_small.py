"""What few images, one object, one seed or the same replicates cannot tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from detbench.errors import RecipeError
from detbench.evaluation.matching import match
from detbench.recipe.experiment import Evaluation
from detbench.statistics import coco, looks, small
from detbench.statistics.bootstrap import between, difference, interval, of_one
from detbench.statistics.equivalence import verdict, within
from detbench.statistics.replicates import Resampling, of_matches


def scene(holding: int, images: int = 40) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Class 1 in every image; class 2 in some: the second detector finds it, the first does not."""
    objects, first, second = [], [], []
    for image in range(images):
        for label in (1, 2):
            if label == 2 and image >= holding:
                continue
            box = [10.0 * label, 10.0, 50.0, 50.0]
            objects.append({"id": len(objects), "image_id": image, "category_id": label})
            objects[-1] |= {"bbox": box, "area": 2500.0, "iscrowd": 0}
            found = {
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "score": 0.9 - image / 99,
            }
            second.append(found)
            if label == 1 and image % 3:
                first.append(found)
    ground = {
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": 1, "name": "often"}, {"id": 2, "name": "seldom"}],
        "annotations": objects,
    }
    return ground, first, second


@pytest.mark.parametrize(
    ("holding", "said"),
    [
        (1, "one image holds such an object: fewer than 10 tell nothing of others"),
        (5, "5 images hold such an object: fewer than 10 tell nothing of others"),
        (12, "every replicate gives the same value: its spread is not known"),
    ],
)
def test_a_rare_class_has_a_reason_in_place_of_an_interval(holding: int, said: str) -> None:
    ground, a, b = scene(holding)
    found = coco.compare(ground, [a], [b], ("AP[seldom]", "AP[often]"), 200)
    one = found["AP[seldom]"]
    assert one.value == pytest.approx(1.0)
    assert (one.low, one.high, one.p, one.reason) == (None, None, None, said)
    assert (one.images, found["AP[often]"].images) == (holding, 40)
    assert not one.real
    assert verdict(one, 0.01) == "undecided"
    assert one.estimate is not None
    assert within(one.estimate, 2.0) is None
    assert found["AP[often]"].real
    classes = coco.by_class(ground, [a], [b], replicates=200)
    assert classes["seldom"][1] is None
    assert (classes["often"][1] or 1) <= 0.05


def test_a_class_that_no_image_holds_has_no_interval_of_its_own() -> None:
    """And where replicates lack a class, the bounds are those of the others: no nan."""
    ground, _, b = scene(0)
    one = coco.intervals(ground, [b], ("AP[seldom]", "AP[often]"), 200)
    assert (one["AP[seldom]"].value, one["AP[seldom]"].low) == (None, None)
    ground, _, b = scene(12, 60)
    matches = match(ground, [one for one in b if one["image_id"] % 4], Evaluation())
    known = of_matches(matches, ("AP[seldom]",), Resampling(200))
    lacking = known.draws["AP[seldom]"].copy()
    lacking[::7] = np.nan
    few = of_one([replace(known, draws={"AP[seldom]": lacking})], ("AP[seldom]",))["AP[seldom]"]
    assert few.low is not None
    assert few.low < (few.value or 0) < (few.high or 0)
    lone, _, _ = scene(1)
    short = interval([match(lone, b[:1], Evaluation())], ("AP[seldom]",), 200)["AP[seldom]"]
    assert (short.low, short.high) == (None, None)
    assert short.value is not None
    assert "one image holds" in short.reason


def test_the_stretch_is_students_t_of_the_images() -> None:
    assert small.stretch(small.WIDENED) == 1.0
    expected = stats.t.ppf(0.975, 29) / stats.norm.ppf(0.975) * (30 / 29) ** 0.5
    assert small.stretch(30) == pytest.approx(expected)
    assert small.stretch(10) > small.stretch(20) > small.stretch(49) > 1


def test_equivalence_is_two_one_sided_tests() -> None:
    ground, a, b = scene(20)
    same = coco.compare(ground, [a], [a], ("AP",), 200)["AP"]
    assert verdict(same, 0.001) == "equivalent"
    assert verdict(same) == "undecided"
    other = coco.compare(ground, [a], [b], ("AP[often]",), 400)["AP[often]"]
    assert other.estimate is not None
    inner = within(other.estimate, 0.9)
    assert inner is not None
    # The 90 % interval: inside the 95 % one, and it decides.
    assert (other.low or 0) <= inner.low < inner.high <= (other.high or 0)
    assert verdict(other, 0.9) == "equivalent"
    assert verdict(other, 0.01) == "better"
    assert verdict(coco.compare(ground, [b], [a], ("AP[often]",), 400)["AP[often]"]) == "worse"


def test_planned_looks_spend_five_percent() -> None:
    assert looks.look(3, (3, 6)).alpha + looks.look(6, (3, 6)).alpha == pytest.approx(0.05)
    assert looks.look(3).alpha == 0.05
    assert looks.look(4, (), (3, 4)).grown
    assert not looks.look(6, (3, 6), (3, 6)).grown
    assert not looks.look(3, (), (3,)).grown
    with pytest.raises(RecipeError, match="--looks 3,6 with 5 seeds: give 3 seeds, or 6"):
        looks.look(5, (3, 6))
    with pytest.raises(RecipeError, match="are the looks whose errors are known"):
        looks.look(2, (2, 4))


def test_sides_must_be_resampled_alike() -> None:
    ground, a, b = scene(20)
    matches = [match(ground, one, Evaluation()) for one in (a, b)]
    sides = [[of_matches(one, ("AP",), Resampling(200, seed))] for seed, one in enumerate(matches)]
    with pytest.raises(Exception, match="resampled otherwise"):
        between(*sides, ("AP",))
    with pytest.raises(RecipeError, match="a side has no results"):
        coco.compare(ground, [], [b])
    assert difference([matches[0]], [matches[1]], ("AP",), 200)["AP"].rare == (2, 0)
