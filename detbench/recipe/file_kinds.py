"""What a recipe file is, by its content: its kind, which commands take it, and how deep it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Kind = Literal["table", "detector", "schedule", "profile"]
TAKEN_BY: dict[Kind, str] = {
    "table": "check, run, report, show, flops and latency take it",
    "detector": "train, eval, predict, show, flops and latency take it, and rows as 'detector'",
    "schedule": "tables and detectors take it as 'schedule'",
    "profile": "--profile takes it",
}


def told(data: dict[str, Any]) -> Kind | None:
    """The kind that alone has the keys of a file; None where they do not tell."""
    if {"rows", "grid", "sweep"} & set(data):
        return "table"
    if "detector" in data:
        return "detector"
    if "light" in data or "training" in data:
        return "profile" if "light" in data else "schedule"
    return None


def another(data: dict[str, Any], wanted: Kind) -> str:
    """That a file is of another kind, and what takes it; empty if it may be of the ``wanted``."""
    kind = told(data)
    if kind is None or kind == wanted or {kind, wanted} == {"profile", "schedule"}:
        return ""
    return not_wanted(kind, [wanted])


def not_wanted(kind: Kind, wanted: Sequence[Kind]) -> str:
    """That something is of a kind and not of those ``wanted``, and what takes it."""
    return f"a {kind}, and here a {' or '.join(wanted)} is wanted: {TAKEN_BY[kind]}"


def deeper(value: Any, depth: int) -> bool:
    """Whether tables and arrays are nested deeper than that."""
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(deeper(item, depth - 1) for item in inner)
