"""Which rows of a table a pattern means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def matches(label: str, pattern: str) -> bool:
    """Whether a row's label is a pattern, or matches it; upper and lower case are one."""
    return fnmatchcase(label.lower(), pattern.lower()) or label.lower() == pattern.lower()


def chosen(patterns: Iterable[str], labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that patterns mean, each once: in the patterns' order, those of one in the
    table's. A pattern that is a label means that row alone, as ``Ours*`` where one is called so.
    """
    found: list[str] = []
    for pattern in patterns:
        exact = [label for label in labels if label.lower() == pattern.lower()]
        found += exact or [label for label in labels if matches(label, pattern)]
    return tuple(dict.fromkeys(found))
