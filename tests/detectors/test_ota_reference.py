"""OTA against its released code (reference/README.md)."""

from __future__ import annotations

from typing import Any

import authors_reference as reference
import cvpods_reference as cvpods
import pytest
import torch

from detbench.detectors.dense import DenseDetector
from detbench.ops.transport import Sinkhorn, Transport, sinkhorn
from detbench.structures import Targets

CASES = {reference.set_of(case): case for case in reference.cases("ota")}
VARIANTS = ("released", "covered", "k10", "reg3", "eps1_iter10")
LOSSES = {"cls": "loss_cls", "loc": "loss_box_reg", "quality": "loss_iou"}
THIRD = ("quality", "iou")


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def built(case: dict, **settings: Any) -> DenseDetector:
    return cvpods.detector("ota-r50", case, **settings)


def given(case: dict, path: str) -> cvpods.Given:
    return cvpods.Given(case, path, THIRD)


def of(case: dict, variant: str) -> tuple[DenseDetector, Targets]:
    """The detector with a variant's settings, and its objects."""
    theirs = case[variant]["settings"]
    settings = {
        "loc_weight": theirs["reg_weight"],
        "top": theirs["top_candidates"],
        "epsilon": theirs["eps"],
        "iterations": theirs["iterations"],
    }
    removed = case["objects_without_candidate"] if variant == "covered" else {}
    return built(case, **settings), cvpods.targets(case["scene"]["images"], removed)


def test_supply_and_costs(name: str, variant: str) -> None:
    case = CASES[name]
    detector, targets = of(case, variant)
    outputs = detector.outputs(given(case, f"{name}/ota/assign").predictions).detached
    problem, anywhere = detector.supervisions[0].assigners.tasks.cls.problem(outputs, targets)
    supply = problem.supply.scatter_add(1, anywhere, problem.given)
    for image, theirs in enumerate(case[variant]["images"]):
        real = targets.valid[image]
        assert supply[image][real].tolist() == theirs["dynamic_k"]
        assert supply[image][~real].sum() == 0
        if "cost" not in theirs:
            continue
        rest = problem.far[image, -1]
        reference.assert_close(rest[:8], theirs["background_cost_first_8"])
        assert rest.sum().item() == reference.close(theirs["background_cost_sum"])
        for row, count in enumerate(theirs["candidates_per_gt"]):
            mine, places = problem.cost[image, row], problem.places[image, row].tolist()
            if count:
                assert int(mine.isfinite().sum()) == count
                sampled = theirs["cost"][row]
                for place, cost in zip(sampled["location"], sampled["cost"], strict=True):
                    if cost < 1e5:
                        assert mine[places.index(place)].item() == reference.close(cost)


def test_plans(name: str) -> None:
    """Row by row: what each object gives in all, and at most."""
    case = CASES[name]
    detector, targets = of(case, "covered")
    outputs = detector.outputs(given(case, f"{name}/ota/assign").predictions).detached
    assigner = detector.supervisions[0].assigners.tasks.cls
    near, far = sinkhorn(assigner.problem(outputs, targets)[0], assigner.solver)
    for image, theirs in enumerate(case["covered"]["images"]):
        rows = [*near[image][targets.valid[image]], far[image, -1]]
        assert [row.sum().item() for row in rows] == pytest.approx(
            theirs["plan_row_sums"], rel=1e-4
        )
        assert [row.max().item() for row in rows] == pytest.approx(theirs["plan_row_max"], rel=1e-4)


def test_assignments(name: str, variant: str) -> None:
    case = CASES[name]
    detector, targets = of(case, variant)
    outputs = detector.outputs(given(case, f"{name}/ota/assign").predictions).detached
    assigned = detector.supervisions[0].assigners.tasks.cls(outputs, targets, 0.0)
    for matched, theirs in zip(assigned.matched, case[variant]["images"], strict=True):
        mine = [(place, gt) for place, gt in enumerate(matched.tolist()) if gt >= 0]
        wanted = zip(theirs["assigned"]["location"], theirs["assigned"]["gt"], strict=True)
        assert mine == list(wanted)


@pytest.mark.parametrize("variant", ["released", "covered"], indirect=True)
def test_losses_and_gradients(name: str, variant: str) -> None:
    case = CASES[name]
    detector, targets = of(case, variant)
    maps = given(case, f"{name}/ota/assign")
    found = detector.supervisions[0](detector.outputs(maps.predictions), targets, 0.0)
    theirs = case[variant]
    assert set(found) == set(LOSSES)
    for mine, loss in LOSSES.items():
        assert found[mine].item() == reference.close(theirs["losses"][loss])
    torch.stack(list(found.values())).sum().backward()
    maps.assert_gradients(theirs["gradients"])


@pytest.mark.parametrize(
    "settings", ["eps 0.1 iterations 50", "eps 0.1 iterations 1", "eps 1.0 iterations 50"]
)
def test_sinkhorn(name: str, settings: str) -> None:
    case = CASES[name]
    cost = reference.made(case, f"{name}/ota/sinkhorn/cost")
    rest = reference.made(case, f"{name}/ota/sinkhorn/background")
    theirs = case["sinkhorn"][settings]
    supply = torch.tensor(theirs["supply"])[None, :-1]
    places = torch.arange(24).expand(1, 4, -1)
    _, epsilon, _, iterations = settings.split()
    settings_of = Sinkhorn(float(epsilon), int(iterations))
    none = supply.new_zeros(1, 0)
    near, far = sinkhorn(Transport(cost[None], places, supply, rest[None], none), settings_of)
    whole = torch.cat((near[0], far[0]))
    every = Transport(cost[None, :0], places[:, :0], none, torch.cat((cost, rest))[None], supply)
    torch.testing.assert_close(sinkhorn(every, settings_of)[1][0], whole, rtol=1e-4, atol=1e-7)
    cost = torch.cat((cost, rest))
    assert (whole * cost).sum().item() == reference.close(theirs["transport_cost"])
    reference.assert_close(whole.sum(dim=1), theirs["row_sums"])
    reference.assert_close(whole[:, :6], theirs["plan_first_6_columns"])
    share = whole / whole.amax(dim=1, keepdim=True)
    assert share.argmax(dim=0).tolist() == theirs["row_of_column"]


def test_towers_and_predictions(name: str) -> None:
    case = CASES[name]
    detector = cvpods.detector("ota-r50", case, channels=64)
    cvpods.with_their_weights(detector, case["forward"], ("quality", "ious_pred"))
    cvpods.assert_predictions(cvpods.predicted(detector, case, f"{name}/ota/feature"), case, THIRD)


def test_it_starts_with_the_prior(name: str) -> None:
    bias = built(CASES[name]).predictor.cls.bias
    assert bias[0].item() == reference.close(CASES[name]["initial_cls_bias"])


def test_detections(name: str) -> None:
    """By the geometric mean, which the threshold is on too."""
    case = CASES[name]
    cvpods.assert_detections(built(case), given(case, f"{name}/ota/test").predictions, case)
