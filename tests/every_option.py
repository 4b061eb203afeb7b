"""Every option of every table of a detector, found in the unions, each in a small detector.

A new option is a case by being one; it comes here by name only if it does not go with the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import torch
from made_masks import with_masks
from torch import nn

from detbench.assembly import build_detector
from detbench.recipe import load, reference
from detbench.recipe.base import Custom, PerTaskSpec, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.light import lighten
from detbench.recipe.model import Timm
from detbench.structures import Targets

HOSTS = {"dense": "fcos-r50", "roi": "faster-rcnn-r50"}
OTHER_HOSTS = {"l1": "retinanet-r50", "res5": "faster-rcnn-r50-c4", "c4": "faster-rcnn-r50-c4"}
EXAMPLES = {(Timm, "name"): "convnext_atto"}
OTHER_HOSTS |= {"aligned": "tood-r50", "distribution-guided": "gflv2-r50", "mixture": "paa-r50"}
OTHER_HOSTS |= {"center-prior": "autoassign-r50", "autoassign": "autoassign-r50"}
OTHER_HOSTS |= {"dual-weighting": "dw-r50"}
OTHER_HOSTS |= {"fcn": "mask-rcnn-r50"}
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


def pair_types(annotation: Any) -> list[type[PerTaskSpec[Any]]]:
    """The pairs of tasks' tables among a field's types."""
    types = (annotation, *get_args(annotation))
    return [one for one in types if isinstance(one, type) and issubclass(one, PerTaskSpec)]


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
    elif old is None and (pairs := pair_types(type(table).model_fields[name].annotation)):
        value = pairs[0](both=option)
    else:
        value = put(old, tuple(rest), option) if rest else option
    fields = {field: getattr(table, field) for field in type(table).model_fields}
    return type(table)(**fields | {name: value})


def made(schema: type[Spec]) -> Spec:
    """With its defaults, and an example or the first choice where there is none."""
    required = {n: f for n, f in schema.model_fields.items() if f.is_required()}
    return schema(
        **{
            name: EXAMPLES.get((schema, name)) or get_args(field.annotation)[0]
            for name, field in required.items()
        }
    )


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
    return with_masks(Targets.pad(boxes, labels, torch.tensor([[64, 64]] * 2)), 64, 64)
