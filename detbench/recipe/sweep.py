"""Sweeps: every combination of single settings along several axes as a row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from detbench.recipe.detector import Detector
from detbench.recipe.metrics import PUBLISHED
from detbench.recipe.override import put
from detbench.recipe.table import REPLACEABLE, Sweep, SweepAxis, SweepOption
from detbench.recipe.validate import parse, unknown

Find = Callable[[str], Detector | None]
Choice = tuple[SweepOption, ...]


def expand(data: Any, where: str, find: Find) -> tuple[list[dict[str, Any]], list[str]]:
    """A table's ``[sweep]`` as rows, and the mistakes in it; with mistakes there are no rows.

    Args:
        find: a detector by its name; none where there is no sound one, which the rows tell.
    """
    if not isinstance(data, dict):
        return [], [f"{where}: sweep: expected a table"]
    sweep, mistakes = parse(Sweep, data, f"{where}: sweep")
    if sweep is None:
        return [], mistakes
    detector = find(sweep.detector)
    if detector is None:
        return [{"label": sweep.label, "detector": sweep.detector}], []
    tables = {**detector.model_dump(mode="json"), **sweep.fixed}
    mistakes = _check(sweep, detector, tables, f"{where}: sweep")
    if mistakes:
        return [], mistakes
    return [_row(sweep, tables, choice) for choice in _choices(sweep)], []


def _choices(sweep: Sweep) -> Iterator[Choice]:
    """Every combination that exists, the last axis fastest."""
    for choice in itertools.product(*(axis.options for axis in sweep.axes)):
        labels = dict(zip((axis.title for axis in sweep.axes), _labels(choice), strict=True))
        if not any(all(labels.get(k) == v for k, v in one.items()) for one in sweep.without):
            yield choice


def _labels(choice: Choice) -> tuple[str, ...]:
    return tuple(option.label for option in choice)


def _row(sweep: Sweep, tables: dict[str, Any], choice: Choice) -> dict[str, Any]:
    labels = dict(zip((axis.title for axis in sweep.axes), _labels(choice), strict=True))
    changed = _changed(tables, *choice)
    printed = {one.at: one.published for one in sweep.numbers}
    row: dict[str, Any] = {
        "label": sweep.label.format_map(labels),
        "detector": sweep.detector,
        **sweep.fixed,
        **changed,
        "columns": labels,
        "published": printed.get(_labels(choice), {}),
        "fidelity": sweep.fidelity,
        "notes": list(sweep.notes),
    }
    if sweep.schedule is not None:
        row["schedule"] = sweep.schedule
    return row


def _changed(tables: dict[str, Any], *options: SweepOption) -> dict[str, Any]:
    """The tables of the detector that some options change, whole, with the changes in them."""
    names = dict.fromkeys(_path(key)[0] for option in options for key in option.set)
    # What is absent must stay so: TOML has no null, and neither has a row.
    changed = {name: _without_none(tables.get(name) or {}) for name in names}
    for option in options:
        for key, value in option.set.items():
            put(changed, _path(key), value)
    return changed


def _path(key: str) -> list[str]:
    return key.removeprefix("detector.").replace("[", ".").replace("]", "").split(".")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _check(sweep: Sweep, detector: Detector, tables: dict[str, Any], where: str) -> list[str]:
    mistakes = [
        f"{where}.fixed: {unknown('key', name, REPLACEABLE)}"
        for name in sweep.fixed
        if name not in REPLACEABLE
    ]
    titles = [axis.title for axis in sweep.axes]
    for index, axis in enumerate(sweep.axes):
        mistakes += _check_axis(axis, detector, tables, f"{where}.axes[{index}]")
    try:
        sweep.label.format_map(dict.fromkeys(titles, ""))
    except (KeyError, IndexError, ValueError):
        braces = ", ".join(f"{{{title}}}" for title in titles)
        mistakes.append(f"{where}.label: only {braces} stand in braces")
    for index, one in enumerate(sweep.without):
        place = f"{where}.without[{index}]"
        mistakes += [f"{place}: {unknown('axis', t, titles)}" for t in one if t not in titles]
    return mistakes or _check_numbers(sweep, where)


def _check_axis(
    axis: SweepAxis, detector: Detector, tables: dict[str, Any], where: str
) -> list[str]:
    mistakes: list[str] = []
    for index, option in enumerate(axis.options):
        place = f"{where}.options[{index}].set"
        names = [name for key in option.set if (name := _path(key)[0]) not in REPLACEABLE]
        if names:
            mistakes += [f"{place}: {unknown('key', name, REPLACEABLE)}" for name in names]
            continue
        try:
            changed = _changed(tables, option)
        except (KeyError, IndexError, TypeError, ValueError):
            listed = ", ".join(option.set)
            mistakes.append(f"{place}: no such setting in the detector: {listed}")
            continue
        mistakes += parse(type(detector), {**tables, **changed}, place)[1]
    return mistakes


def _check_numbers(sweep: Sweep, where: str) -> list[str]:
    known = {_labels(choice) for choice in _choices(sweep)}
    mistakes = []
    for index, one in enumerate(sweep.numbers):
        place = f"{where}.numbers[{index}]"
        if one.at not in known:
            mistakes.append(f"{place}.at: no such combination: {', '.join(one.at)}")
        mistakes += [
            f"{place}.published: {unknown('metric', key, PUBLISHED)}"
            for key in one.published
            if key not in PUBLISHED
        ]
    return mistakes
