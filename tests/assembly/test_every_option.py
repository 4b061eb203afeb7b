"""Every option of every table of a detector: built, run, moved, kept."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass

import pytest
import torch
from every_option import CASES, build, targets

from detbench.assembly.common import imported
from detbench.recipe import reference
from detbench.recipe.base import Option


def test_the_options_are_found() -> None:
    kinds = {reference.kind_of(one) for _, _, one in CASES.values()}
    assert {"resnet", "sce", "deformable", "atss", "tower", "giou", "product"} <= kinds
    assert {"own", "translated", "positive", "res5", "box", "c4"} <= kinds
    assert len(CASES) > 35


@pytest.mark.parametrize("case", CASES)
def test_it_trains_and_detects(case: str) -> None:
    detector = build(case)
    images = torch.randn(2, 3, 64, 64)
    losses = detector.train().losses(images, targets())
    assert losses
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    assert any(p.grad is not None and p.grad.any() for p in detector.parameters())
    with torch.no_grad():
        assert len(detector.eval().detect(images, torch.tensor([[64, 64]] * 2))) == 2


@pytest.mark.parametrize("case", CASES)
def test_what_it_has_is_kept_and_moved(case: str) -> None:
    """All tensors of modules are parameters or buffers, so that they go where the detector goes."""
    first, second = build(case), build(case, seed=1)
    first.train().losses(torch.randn(2, 3, 64, 64), targets())
    second.load_state_dict(first.state_dict())
    state = second.state_dict()
    assert all(torch.equal(state[name], x) for name, x in first.state_dict().items())
    for module in first.modules():
        assert not [name for name, x in vars(module).items() if isinstance(x, torch.Tensor)]
    wide = first.double()
    assert {x.dtype for x in wide.state_dict().values() if x.is_floating_point()} == {torch.float64}
    moved = second.to("meta")
    assert {x.device.type for x in moved.state_dict().values()} == {"meta"}
    with torch.device("meta"):
        assert build(case).state_dict().keys() == state.keys()


OPTIONS = [one for _, _, one in CASES.values() if issubclass(one, Option)]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda one: one.__name__)
def test_its_module_takes_its_settings_and_has_no_defaults_of_its_own(
    option: type[Option],
) -> None:
    parameters = dict(inspect.signature(imported(option.target), eval_str=True).parameters)
    for record in [each.annotation for each in parameters.values()]:
        parameters |= inspect.signature(record).parameters if is_dataclass(record) else {}
    fields = {n: f for n, f in option.model_fields.items() if n not in {"kind", *option.beside}}
    assert option.beside <= set(option.model_fields)
    assert set(fields) <= set(parameters)
    for name, field in fields.items():
        without = parameters[name].default is inspect.Parameter.empty
        assert without == (field.default is not None), name
