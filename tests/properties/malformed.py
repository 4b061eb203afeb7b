"""Making input malformed, and the one rule that all of it is held to.

Whatever is read is either accepted or refused by a ``DetbenchError`` whose message is one line (of
recipes, one per mistake) that names the place. CI runs a few hundred inputs, the same every time;
``DETBENCH_FUZZ=full`` runs more than 10,000 new ones.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from detbench.errors import DetbenchError, RecipeError

FULL = os.environ.get("DETBENCH_FUZZ") == "full"

COUNTS: Counter[str] = Counter()
"""Inputs by what became of them, for the summary of a full run."""


def budget(quick: int, full: int) -> Callable[[Any], Any]:
    """Settings of a property test: how many inputs in CI and in a full run."""
    return settings(
        max_examples=full if FULL else quick,
        derandomize=not FULL,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def judge(read: Callable[[], object], *places: str) -> bool:
    """Whether ``read()`` accepts; a refusal must be one line that has one of ``places`` in it."""
    try:
        read()
    except DetbenchError as error:
        lines = error.mistakes if isinstance(error, RecipeError) else [str(error)]
        assert lines
        for line in lines:
            assert line.strip(), "an empty message"
            assert len(line.splitlines()) == 1, f"more than one line: {line!r}"
            assert line.isprintable(), f"unprintable: {line!r}"
            assert any(place in line for place in places), f"no place ({places}): {line!r}"
        COUNTS["refused"] += 1
        return False
    COUNTS["accepted"] += 1
    return True


WORDS = ("", "none", "kind", "both", "custom", "a.b:C", "0", "true", "../x", "x" * 300, "{", "\x00")
NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, 10**30, 10**400, 0.0, -0.5, 1e308, 5e-324)
ODD = (math.nan, math.inf, -math.inf)

text = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["\n", "a\nb", "\u2028", "\x1b[31m", "é✓漢", "\u202eabc", "𝒳"]),
)
leaf = st.one_of(
    text,
    st.booleans(),
    st.sampled_from(NUMBERS + ODD),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=True),
)
junk = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3)
)


def nested(depth: int, value: Any = 0) -> Any:
    """Arrays in arrays."""
    for _ in range(depth):
        value = [value]
    return value


def paths(content: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key path in nested dicts and lists, to some depth."""
    found = []
    if isinstance(content, dict | list) and len(here) < 9:
        for key in content if isinstance(content, dict) else range(len(content)):
            found.append((*here, key))
            found += paths(content[key], (*here, key))
    return found


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


@st.composite
def changed(draw: Any, content: Any, values: Any = junk, most: int = 3) -> Any:
    """``content`` with up to ``most`` of its keys dropped, renamed or given other values."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, most))):
        known = paths(content)
        if not known:
            break
        path = draw(st.sampled_from(known))
        _edit(draw, at(content, path[:-1]), path[-1], values)
    return content


def _edit(draw: Any, owner: Any, key: Any, values: Any) -> None:
    how = draw(st.sampled_from(["value", "value", "value", "drop", "rename", "more", "swap"]))
    if how == "drop":
        del owner[key]
    elif how == "value":
        owner[key] = copy.deepcopy(draw(values))
    elif how == "swap":
        # A value of the right type in the wrong place.
        other = draw(st.sampled_from(list(owner) if isinstance(owner, dict) else range(len(owner))))
        owner[key] = copy.deepcopy(owner[other])
    elif isinstance(owner, list):
        owner.append(copy.deepcopy(draw(values) if how == "more" else owner[key]))
    elif how == "rename":
        owner[draw(text)] = owner.pop(key)
    else:
        owner[draw(text)] = copy.deepcopy(draw(values))


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """Bytes that are cut, flipped, overwritten, doubled or mixed with others."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["cut", "flip", "flip", "over", "insert", "remove", "zero"]))
        some = draw(st.binary(min_size=1, max_size=8))
        if how == "cut":
            del data[place:]
        elif how == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "over":
            data[place : place + len(some)] = some
        elif how == "insert":
            data[place:place] = some
        elif how == "remove":
            del data[place : place + len(some)]
        else:
            data[place : place + 16] = bytes(len(data[place : place + 16]))
    return bytes(data)


def toml(content: dict[str, Any]) -> str:
    """A TOML document, tables inline."""
    return "\n".join(f"{_string(key)} = {_toml(value)}" for key, value in content.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_string(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return _string(value)
    return repr(value).lower()


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
