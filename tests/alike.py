"""Which settings are alike: contract tests take one of those that differ in numbers alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from detbench.recipe.base import Spec

S = TypeVar("S", bound=Spec)


def unlike(named: Mapping[str, S], exact: tuple[str, ...] = (), but: tuple[str, ...] = ()) -> dict:
    """The first of all that are alike, by name.

    Args:
        exact: fields of which every number counts.
        but: fields that do not count at all.
    """
    found: dict[str, tuple[str, S]] = {}
    for name, spec in named.items():
        plain = spec.model_dump(mode="json", exclude=set(but))
        kept = {field: value if field in exact else form(value) for field, value in plain.items()}
        found.setdefault(json.dumps(kept, sort_keys=True), (name, spec))
    return dict(found.values())


def form(value: Any) -> Any:
    """A plain value without its numbers: an array of them says only that it is none."""
    if isinstance(value, dict):
        return {name: form(item) for name, item in value.items()}
    if isinstance(value, list):
        items = [form(item) for item in value]
        return "numbers" if set(map(str, items)) == {"number"} else items
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return value
