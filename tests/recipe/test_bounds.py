"""Whole numbers of a recipe are bounded, so that a slip of the keyboard is one line and no hour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from detbench.recipe import resolve
from detbench.recipe.experiment import Cell


def unbounded(schema: Any, path: str = "") -> Iterator[str]:
    """Places of a JSON schema that take any whole number, however large."""
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from unbounded(one, f"{path}.{index}")
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "integer" and not schema.keys() & {
        "maximum",
        "exclusiveMaximum",
        "enum",
        "const",
    }:
        yield path
    for name, one in schema.items():
        yield from unbounded(one, f"{path}.{name}")


def test_every_whole_number_has_a_bound() -> None:
    assert not list(unbounded(Cell.model_json_schema()))


def test_a_number_without_a_bound_is_seen() -> None:
    assert list(unbounded({"properties": {"batch": {"type": "integer", "minimum": 1}}}))


@pytest.mark.parametrize(
    "change",
    [
        "training.input.short=[1]",
        "training.input.long=1000000",
        "training.batch=1000000000",
        "training.iterations=99999999999999",
        "training.optimizer.lr=1e300",
        "evaluation.limit=99999999999",
        "data.size=200000",
        "data.train=4000000000",
        "neck.channels=1000000",
        "neck.levels=40",
        "heads.cls.depth=100000",
        "evaluation.batch=1000000000",
    ],
)
def test_extremes_are_one_line(change: str) -> None:
    with pytest.raises(Exception, match=r"must be at (least|most) ") as caught:
        resolve.cell("fcos-r50", "smoke", 0, [change])
    assert "\n" not in str(caught.value)
    assert change.partition("=")[0] in str(caught.value)
