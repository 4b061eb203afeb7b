"""What a light profile makes of a detector: fields by their rules, backbones in proportion."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest

from detbench.data import scenes as shapes
from detbench.data.kinds import Shapes
from detbench.ops.roi_pooling import FINEST
from detbench.recipe import load, resolve
from detbench.recipe.base import Custom, PerTaskSpec, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.light import REFERENCE_FINEST, RULES, lighten
from detbench.recipe.model import Init, ResNet
from detbench.recipe.table import Light

LIGHT = [name for name in load.profiles() if load.profile(name).light is not None]


def light_of(profile: str) -> Light:
    found = load.profile(profile).light
    assert found is not None
    return found


def parts(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, Literal's values as their types."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from {type(value) for value in get_args(annotation)}
    elif origin in (tuple, dict, list, Union, types.UnionType):
        for inner in get_args(annotation):
            yield from parts(inner)
    elif hasattr(annotation, "__metadata__"):
        yield from parts(annotation.__origin__)
    else:
        yield annotation


def schemas(root: type[Spec]) -> set[type[Spec]]:
    """A schema and all those inside it, the user's own modules left out."""
    found, left = set(), [root]
    while left:
        one = left.pop()
        if one in found or issubclass(one, Custom):
            continue
        found.add(one)
        for field in one.model_fields.values():
            left += [
                part
                for part in parts(field.annotation)
                if isinstance(part, type) and issubclass(part, Spec)
            ]
    return found


SCHEMAS = sorted(schemas(Dense) | schemas(Roi), key=lambda one: one.__name__)


def test_the_schemas_are_found() -> None:
    names = {one.__name__ for one in SCHEMAS}
    assert {"ResNet", "Fpn", "Sce", "FcosAssignment", "Tower", "Giou", "Round", "Conv"} <= names
    assert len(names) > 40


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda one: one.__name__)
def test_every_field_with_numbers_says_how_it_scales(schema: type[Spec]) -> None:
    numbers = {
        name
        for name, field in schema.model_fields.items()
        if {int, float} & set(parts(field.annotation))
    }
    if not issubclass(schema, PerTaskSpec):
        assert "scaling" in vars(schema), "says nothing of light profiles"
    starts = {
        name for name, field in schema.model_fields.items() if field.annotation == Init | None
    }
    assert set(schema.scaling) == numbers | starts
    assert set(schema.scaling.values()) <= {*RULES, "backbone"}


# --- backbones ------------------------------------------------------------------------------------


def resnet(depth: int, **settings: Any) -> ResNet:
    return ResNet(kind="resnet", depth=depth, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(34, (1, 1, 1, 1)), (50, (1, 1, 1, 1)), (101, (1, 1, 4, 1)), (152, (1, 2, 6, 1))],
)
def test_blocks_are_in_proportion_to_a_resnet_50s(depth: int, blocks: tuple[int, ...]) -> None:
    paper = load.detector("fcos-r50").detector.model_copy(update={"backbone": resnet(depth)})
    found = lighten(paper, light_of("smoke")).backbone
    assert isinstance(found, ResNet)
    assert (found.depth, found.blocks) == (depth, blocks)
    assert (found.width, found.norm) == (0.25, "eval")
    twice = lighten(paper, light_of("small")).backbone
    assert isinstance(twice, ResNet)
    assert twice.blocks is not None
    assert sum(twice.blocks) > sum(blocks)


def test_shallower_networks_than_a_resnet_50_are_narrower_where_a_block_cannot_go() -> None:
    paper = load.detector("fcos-r50").detector
    widths = {
        (profile, depth): lighten(
            paper.model_copy(update={"backbone": resnet(depth)}), light_of(profile)
        ).backbone.width  # type: ignore[union-attr]
        for profile in ("smoke", "small")
        for depth in (10, 18, 34)
    }
    assert widths == {
        ("smoke", 10): 0.0625,
        ("smoke", 18): 0.125,
        ("smoke", 34): 0.25,
        ("small", 10): 0.25,
        ("small", 18): 0.5,
        ("small", 34): 0.5,
    }


def test_what_a_backbone_is_stays_and_its_weights_do_not() -> None:
    given = resnet(
        101, groups=32, base_width=4, deformable="v2", style="caffe", norm="frozen", weights="any"
    )
    paper = load.detector("faster-rcnn-r50").detector.model_copy(update={"backbone": given})
    found = lighten(paper, light_of("smoke")).backbone
    assert isinstance(found, ResNet)
    kept = ("depth", "groups", "base_width", "deformable", "style")
    assert [getattr(found, name) for name in kept] == [getattr(given, name) for name in kept]
    assert (found.norm, found.frozen_stages, found.weights) == ("eval", 1, None)


# --- the other rules ------------------------------------------------------------------------------


def test_pooled_maps_are_in_proportion() -> None:
    fpn, c4 = (resolve.cell(f"faster-rcnn-r50{end}", "smoke").cell for end in ("", "-c4"))
    assert fpn is not None
    assert c4 is not None
    sizes = [one.detector.sampling.of("cls").size for one in (fpn, c4)]  # type: ignore[union-attr]
    assert sizes == [3, 6]


def test_levels_give_way_at_smaller_objects() -> None:
    assert REFERENCE_FINEST == FINEST
    roi, dense = (resolve.cell(name, "smoke").cell for name in ("faster-rcnn-r50", "fcos-r50"))
    assert roi is not None
    assert dense is not None
    assert isinstance(roi.detector, Roi)
    assert roi.detector.finest_scale == 14
    # As anchors: ATSS's and FCOS's levels are responsible for the same objects, as in the papers.
    assert dense.detector.assignment.of("cls").range_factor == 4  # type: ignore[union-attr]
    plain = Light(backbone=light_of("smoke").backbone, channels=64)
    kept = lighten(load.detector("faster-rcnn-r50").detector, plain)
    assert isinstance(kept, Roi)
    assert kept.finest_scale is None
    assert kept.sampling == load.detector("faster-rcnn-r50").detector.sampling


def test_anchors_of_every_detector_shrink_alike() -> None:
    sizes = {"retinanet-r50": 2, "atss-r50": 4}
    for name, size in sizes.items():
        found = lighten(load.detector(name).detector, light_of("smoke"))
        assert isinstance(found, Dense)
        assert found.candidates.size == size  # type: ignore[union-attr]
    roi = lighten(load.detector("faster-rcnn-r50-c4").detector, light_of("smoke"))
    assert isinstance(roi, Roi)
    assert roi.rpn.anchors.size == 1


@pytest.mark.parametrize("profile", LIGHT)
def test_objects_spread_over_levels_as_on_coco(profile: str) -> None:
    """COCO has 41 to 75 % of its objects on the finest level of RoI pooling (docs/profiles.md)."""
    data = load.profile(profile).data
    assert isinstance(data, Shapes)
    scenes = shapes.Shapes("val", 200, data.size, data.variant, data.version)
    boxes = np.concatenate([scenes.annotations(index).boxes for index in range(200)])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    finest = light_of(profile).bounds * FINEST
    shares = [np.mean(sides < 2 * finest), np.mean(sides >= 2 * finest)]
    assert 0.41 < shares[0] < 0.75
    assert shares[1] > 0.25
    assert np.mean(sides < 2 * FINEST) > shares[0] + 0.15
