"""Rows and detectors of dense tables whose settings come from another paper than the table's."""

from __future__ import annotations

import pytest

from detbench.recipe import load, resolve
from detbench.recipe.detector import Dense


def detector(table: str, label: str) -> Dense:
    (row,) = (one for one in load.table(table).rows if one.label == label)
    found = resolve.paper_detector(row)
    assert isinstance(found, Dense)
    return found


def recipe(name: str) -> Dense:
    found = load.detector(name).detector
    assert isinstance(found, Dense)
    return found


def test_fcos_with_ddod_differs_from_its_baseline_in_ddod_alone() -> None:
    """The baseline is ATSS's "FCOS + ATSS": its assignment, boxes from the point, centre-ness."""
    plain, ddod = (detector("ddod-table3", label) for label in ("FCOS", "FCOS + DDOD"))
    fields = Dense.model_fields
    changed = {name for name in fields if getattr(plain, name) != getattr(ddod, name)}
    assert changed == {"assignment", "sampling", "levels", "supervision"}
    atss, fcos = recipe("atss-r50"), recipe("fcos-r50")
    assert (plain.assignment, plain.candidates) == (atss.assignment, atss.candidates)
    assert plain.supervision == atss.supervision
    assert plain.boxes == recipe("ddod-fcos-r50").boxes
    assert plain.boxes.kind == "distance"
    assert (plain.heads, plain.backbone) == (fcos.heads, fcos.backbone)
    assert ddod.supervision == recipe("ddod-r50").supervision


@pytest.mark.parametrize(
    ("name", "like"),
    [("atss-r101-dcn", "paa-r101-dcn"), ("atss-x101-32x8d-dcn", "paa-x101-64x4d-dcn")],
)
def test_atss_samples_deformably_where_paa_does(name: str, like: str) -> None:
    """In the backbone and in the towers' last layer (Zhang et al. 2020, section 4.4)."""
    atss, paa = recipe(name), recipe(like)
    assert atss.sampling == paa.sampling
    assert atss.sampling.both.convs == (3,)  # type: ignore[union-attr]
    fields = ("deformable", "deformable_stages")
    assert [getattr(atss.backbone, one) for one in fields] == [
        getattr(paa.backbone, one) for one in fields
    ]
    assert atss.backbone.deformable == "v2"  # type: ignore[union-attr]
