"""Every option of every table of a detector, found in the unions: built, run, moved, kept.

A new option is a case by being one; it comes here by name only if it does not go with the host.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest
import torch
from torch import nn

from detbench.assembly import build_detector
from detbench.assembly.common import imported
from detbench.recipe import load, reference
from detbench.recipe.base import Custom, Option, PerTaskSpec, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.light import lighten
from detbench.structures import Targets

HOSTS = {"dense": "fcos-r50", "roi": "faster-rcnn-r50"}
OTHER_HOSTS = {"l1": "retinanet-r50", "res5": "faster-rcnn-r50-c4", "c4": "faster-rcnn-r50-c4"}
CLASSES = 3
Path = tuple[str, ...]


def cases(schema: type[Spec], path: Path = ()) -> Iterator[tuple[Path, type[Spec]]]:
    """Each choice in a schema with the path of its table."""
    for name, field in schema.model_fields.items():
        for one in reference.schemas_of(field.annotation):
            if not issubclass(one, Custom):
                if reference.kind_of(one):
                    yield (*path, name), one
                yield from cases(one, (*path, name))


def found() -> dict[str, tuple[str, Path, type[Spec]]]:
    """The first place of each choice, by a name for the test."""
    places: dict[type[Spec], tuple[str, Path, type[Spec]]] = {}
    for skeleton, schema in (("dense", Dense), ("roi", Roi)):
        for path, one in cases(schema):
            places.setdefault(one, (skeleton, path, one))
    return {
        f"{skeleton} {'.'.join(path)} {reference.kind_of(one)}": (skeleton, path, one)
        for skeleton, path, one in places.values()
    }


CASES = found()


def put(table: Any, path: Path, option: Spec) -> Any:
    """A table with ``option`` at ``path``, for both tasks where it is a pair."""
    name, *rest = path
    old = getattr(table, name)
    if isinstance(old, PerTaskSpec):
        pair = {task: getattr(old, task) for task in ("both", "cls", "loc")}
        value = type(old)(
            **{
                task: put(each, tuple(rest), option) if rest else option
                for task, each in pair.items()
                if each is not None
            }
        )
    else:
        value = put(old, tuple(rest), option) if rest else option
    fields = {field: getattr(table, field) for field in type(table).model_fields}
    return type(table)(**fields | {name: value})


def made(schema: type[Spec]) -> Spec:
    """With its defaults, and the first choice where there is none."""
    required = {n: f for n, f in schema.model_fields.items() if f.is_required()}
    return schema(**{name: get_args(field.annotation)[0] for name, field in required.items()})


@cache
def settings(case: str) -> Any:
    """A small detector with the option in its place."""
    skeleton, path, schema = CASES[case]
    host = OTHER_HOSTS.get(reference.kind_of(schema) or "", HOSTS[skeleton])
    light = load.profile("smoke").light
    assert light is not None
    return lighten(put(load.detector(host).detector, path, made(schema)), light)


def build(case: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_detector(settings(case), CLASSES)


def targets() -> Targets:
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0], [20.0, 4.0, 60.0, 60.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    return Targets.pad(boxes, labels, torch.tensor([[64, 64]] * 2))


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
    parameters = inspect.signature(imported(option.target)).parameters
    fields = {n: f for n, f in option.model_fields.items() if n not in {"kind", *option.beside}}
    assert option.beside <= set(option.model_fields)
    assert set(fields) <= set(parameters)
    for name, field in fields.items():
        without = parameters[name].default is inspect.Parameter.empty
        assert without == (field.default is not None), name
