from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from detbench.evaluation import accumulate, coco, metric, openimages, voc, widerface
from detbench.evaluation.error_types import ErrorTypes
from detbench.measure import figures
from detbench.recipe import columns, load, metrics
from detbench.recipe.experiment import Evaluation
from detbench.recipe.metrics import METRICS, Metric
from detbench.report import scores


def test_every_metric_is_given_by_what_its_block_says() -> None:
    errors = {field.name for field in fields(ErrorTypes)}
    assert {METRICS[key].source for key in metrics.of("error")} == errors - {"ap50"}
    assert metrics.of("own score") == (*voc.METRICS, *widerface.METRICS, *openimages.METRICS)
    for key in metrics.of("cost"):
        module, _, name = METRICS[key].source.partition(":")
        assert module == figures.__name__
        assert callable(getattr(figures, name))
    for key in metrics.of("score", "sized"):
        metric.parse(key)
    assert metrics.of("cited") == ("openimages-lb", "runtime_s", "runtime_ms", "fps")


def test_order_titles_digits_and_direction() -> None:
    assert (
        *("AP", "AP50", "AP55", "AP60", "AP65", "AP70", "AP75", "AP80", "AP85", "AP90", "AP95"),
        *("APs", "APm", "APl", "AR", "ARs", "ARm", "ARl"),
    ) == metrics.SCORES
    assert tuple(f"AP{s}{iou}" for s in "sml" for iou in range(50, 100, 5)) == metrics.SIZED
    assert metrics.listed(("AP", *metrics.SIZED, "AR")) == "AP, APs50 to APl95, AR"
    assert metrics.COSTS == ("gflops", "params_m", "total_params_m", "loc_convs_mi")
    assert metrics.GROUPS == {"errors": ("E_cls", "E_loc", "E_both", "E_dupe", "E_bkg", "E_miss")}
    assert metrics.COLUMNS[-2:] == ("E_fp", "E_fn")
    shown = {key: (METRICS[key].title, METRICS[key].digits) for key in ("AP", "gflops", "E_dupe")}
    assert shown == {"AP": ("AP", 1), "gflops": ("GFLOPs", 2), "E_dupe": ("Dupe", 1)}
    lower = {key for key, one in METRICS.items() if one.lower}
    assert lower == set(metrics.of("cost", "cited", "error")) - {"fps", "openimages-lb"}


def test_a_metric_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that COCO's arrays hold: chosen, computed and shown."""
    one = Metric("AR75s", "score", recall=True, area="s", iou=75)
    monkeypatch.setitem(METRICS, one.key, one)
    for place, name in ((metric, "METRICS"), (accumulate, "METRICS")):
        monkeypatch.setattr(place, name, metrics.of("score"))
    monkeypatch.setattr(columns, "COLUMNS", tuple(METRICS))
    assert columns.choose(load.table("tscode-table1"), "AR75s").columns == ("AR75s",)
    precision, recall = np.zeros((10, 101, 2, 4)), np.zeros((10, 2, 4))
    recall[5, :, 1] = 0.25, 0.75
    found = accumulate.summary(precision, recall)
    assert found["AR75s"] == 0.5
    assert found["ARs"] == 0.05
    sheet = scores.sheet("x", found, "")
    assert sheet.rows[0][-1].value == 50.0
    assert sheet.columns[-1].key == "AR75s"


def test_scores_are_those_of_the_evaluation() -> None:
    nothing: dict[str, list[object]] = {"images": [], "annotations": [], "categories": []}
    assert tuple(coco.evaluate(nothing, [], Evaluation())) == metrics.SCORES
