"""Recipes in words: what a row changes, how a schedule trains."""

from __future__ import annotations

from typing import Any

from detbench.recipe import load
from detbench.recipe.base import PerTaskSpec, Spec
from detbench.recipe.experiment import Cosine, OneCycle, Sgd, Steps, Training
from detbench.recipe.resolve import paper_detector, schedule_of
from detbench.recipe.table import Row, Table


def settings(row: Row, table: Table) -> dict[str, Any]:
    """A row's settings for json: its detector, its schedule and the whole tables it replaces.

    The replaced tables are written out with their defaults. A row that is only cited trains by no
    schedule.
    """
    schedule = None if row.cited else schedule_of(row, table)
    detector = paper_detector(row)
    replaced = {
        name: _plain(getattr(detector, name)) for name in row.replaced if detector is not None
    }
    return {
        "detector": row.detector,
        "schedule": schedule.id if schedule else None,
        **replaced,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, Spec) else value


def changes(row: Row) -> list[str]:
    """What a row changes of its detector, as in ``features.cls = sce``; empty for a baseline."""
    detector = paper_detector(row)
    if detector is None or row.detector is None:
        return []
    base = load.detector(row.detector).detector
    found: list[str] = []
    for name in row.replaced:
        found += _difference(name, getattr(base, name), getattr(detector, name))
    return found


def _difference(name: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if _are_specs(old) and _are_specs(new) and (old or new):
        return _sequence(name, old, new)
    if isinstance(new, PerTaskSpec) and isinstance(old, PerTaskSpec):
        if new.shared:
            return _difference(f"{name}.both", old.of("cls") if old.shared else None, new.of("cls"))
        pairs = [_difference(f"{name}.{t}", old.of(t), new.of(t)) for t in ("cls", "loc")]
        return [line for pair in pairs for line in pair] or [f"{name}: not shared"]
    if not isinstance(new, Spec):
        return [f"{name} = {_value(new)}"]
    kind = getattr(new, "kind", None)
    if kind is not None and kind != getattr(old, "kind", None):
        return [f"{name} = {option(new)}"]
    fields = [f for f in type(new).model_fields if getattr(old, f, None) != getattr(new, f)]
    if kind is not None:
        return [f"{name} = {', '.join(f'{f} {_value(getattr(new, f))}' for f in fields)}"]
    lines = [_difference(f"{name}.{f}", getattr(old, f, None), getattr(new, f)) for f in fields]
    return [line for found in lines for line in found]


def _are_specs(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, Spec) for item in value)


def _sequence(name: str, old: tuple[Spec, ...], new: tuple[Spec, ...]) -> list[str]:
    """What differs between two arrays of tables, as in ``rounds[0].weight = 0.25``."""
    if not new:
        return [f"{name}: none"]
    pairs = enumerate(zip(old, new, strict=False))
    lines = [line for i, (a, b) in pairs for line in _difference(f"{name}[{i}]", a, b)]
    lines += [f"{name}[{i}] = {option(new[i])}" for i in range(len(old), len(new))]
    return lines + ([f"{name}: only {len(new)}"] if len(new) < len(old) else [])


def option(spec: Spec) -> str:
    """An option and what it sets beside the defaults: ``dpe (levels -1, 0)``."""
    fields = {
        name: getattr(spec, name)
        for name, field in type(spec).model_fields.items()
        if name != "kind" and getattr(spec, name) != field.default
    }
    listed = ", ".join(f"{name} {_value(value)}" for name, value in fields.items())
    kind = str(getattr(spec, "kind", ""))
    if isinstance(spec, PerTaskSpec):
        tasks = ("both",) if spec.shared else ("cls", "loc")
        return ", ".join(f"{task} {option(getattr(spec, task))}" for task in tasks)
    if not kind:
        return f"({listed})"
    return f"{kind} ({listed})" if listed else kind


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Spec):
        return option(value)
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def training(spec: Training) -> str:
    """A training in one sentence's length."""
    length = f"{spec.epochs:g} epochs" if spec.epochs else f"{spec.iterations} iterations"
    optimizer, schedule = spec.optimizer, spec.schedule
    parts = [f"{length} in batches of {spec.batch}"]
    parts.append(f"{optimizer.kind.upper()} lr {optimizer.lr:g}, decay {optimizer.weight_decay:g}")
    if isinstance(optimizer, Sgd) and (optimizer.bias_lr != 1 or not optimizer.decay_biases):
        decay = "with" if optimizer.decay_biases else "without"
        parts.append(f"biases at lr x {optimizer.bias_lr:g} {decay} decay")
    if isinstance(schedule, Steps):
        drops = ", ".join(f"{drop:g}" for drop in schedule.drops)
        parts.append(f"x {schedule.gamma:g} at {drops}")
    elif isinstance(schedule, Cosine):
        again = "" if schedule.period is None else f", anew every {schedule.period:g}"
        parts.append(f"cosine to x {schedule.least:g}{again}")
    else:
        parts.append("one cycle")
    if not isinstance(schedule, OneCycle):
        parts.append(f"warm-up {schedule.warmup_iterations} its from {schedule.warmup_ratio:.3g}")
    short = ", ".join(str(side) for side in spec.input.short)
    parts.append(f"sides {short} / {spec.input.long} px, flip {spec.input.flip:g}")
    if spec.input.sampling == "classes":
        parts.append("images drawn by class")
    if spec.precision != "fp32":
        parts.append(spec.precision)
    if spec.average is not None:
        parts.append(f"moving average of the weights, decay {spec.average.decay:g}")
    return "; ".join(parts)
