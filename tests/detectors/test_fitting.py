from __future__ import annotations

import pytest
import torch
from torch import nn

from detbench.detectors.fitting import compare, load
from detbench.errors import WeightsError


def network(classes: int = 3) -> nn.Module:
    body = nn.ModuleDict({"body": nn.Linear(2, 4), "norm": nn.BatchNorm1d(4)})
    body["cls"] = nn.Linear(4, classes)
    return body


def test_a_whole_fit_needs_no_counters_of_batches() -> None:
    state = {k: v for k, v in network().state_dict().items() if "num_batches" not in k}
    fit = compare(network().state_dict(), state)
    assert fit.whole
    assert fit.sentence() == ""
    assert len(fit.matching) == 8


def test_missing_unknown_and_reshaped_are_told_apart() -> None:
    state = network(5).state_dict()
    del state["body.weight"]
    state["odd"] = torch.zeros(2)
    fit = compare(network().state_dict(), state)
    assert fit.missing == ("body.weight",)
    assert fit.unknown == ("odd",)
    assert fit.reshaped == (("cls.weight", (3, 4), (5, 4)), ("cls.bias", (3,), (5,)))
    assert fit.sentence() == (
        "1 missing (in the network, not in the file): body.weight; "
        "1 unknown (in the file, not in the network): odd; "
        "2 of another shape: cls.weight 3x4 here, 5x4 in the file, cls.bias 3 here, 5 in the file"
    )


def test_partly_fitting_weights_are_an_error_unless_allowed() -> None:
    first, second = network(5), network()
    before = second["cls"].weight.clone()
    with pytest.raises(WeightsError, match=r"^x: keys 2 of another shape.*number of classes"):
        load(second, first.state_dict(), False, "x")
    fit = load(second, first.state_dict(), True, "x")
    assert len(fit.matching) == 6
    assert torch.equal(second["body"].weight, first["body"].weight)
    assert torch.equal(second["cls"].weight, before)
    with pytest.raises(WeightsError, match="nothing fits"):
        load(second, {"odd": torch.zeros(2)}, True, "x")
