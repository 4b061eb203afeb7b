"""VOC's metrics of re-weighted images are those of data sets with copies of the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_detectors import Made, detect, scenes

from detbench.evaluation import voc, voc_replicates
from detbench.evaluation.detections import truth_columns
from detbench.recipe.experiment import Evaluation
from detbench.statistics.replicates import Resampling, draw, of_results


def copied(
    ground: dict[str, Any], results: list[dict[str, Any]], counts: list[int]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Data in which image i is there ``counts[i]`` times."""
    images: list[int] = [i for i, count in enumerate(counts) for _ in range(count)]

    def again(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**item, "image_id": new}
            for new, old in enumerate(images)
            for item in items
            if item["image_id"] == old
        ]

    made = {**ground, "images": [{"id": i} for i in range(len(images))]}
    return {**made, "annotations": again(ground["annotations"])}, again(results)


def test_a_replicate_is_the_kits_ap_of_the_drawn_images() -> None:
    rng = np.random.default_rng(0)
    ground, hard = scenes(rng, 25)
    for item in ground["annotations"]:
        item["iscrowd"] = int(rng.random() < 0.15)
    results = detect(rng, ground, hard, Made())
    judged = voc_replicates.judge(truth_columns(ground), results)
    assert voc_replicates.values(judged) == pytest.approx(voc.evaluate(ground, results))
    weights = draw(25, 8, 0)
    found = voc_replicates.replicate(judged, weights)
    for column in range(8):
        expected = voc.evaluate(*copied(ground, results, weights[:, column].tolist()))
        for metric in ("VOC07", "VOC"):
            assert found[metric][column] == pytest.approx(expected[metric])


def test_nothing_found_and_nothing_to_find() -> None:
    rng = np.random.default_rng(1)
    ground, _ = scenes(rng, 12)
    nothing = of_results(ground, [], Evaluation(), ("VOC", "AP"), Resampling(200))
    assert nothing.values == {"VOC": 0.0, "AP": 0.0}
    empty = {**ground, "annotations": []}
    none = of_results(empty, [], Evaluation(), ("VOC07",), Resampling(200))
    assert np.isnan(none.values["VOC07"])
    assert none.images["VOC07"] == 0
