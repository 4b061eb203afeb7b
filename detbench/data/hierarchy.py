"""Classes above others: their file, and what is said of a class said of those too. No torch.

A hierarchy is a tuple with an array for each label: the labels above it, or those below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from detbench import inputs
from detbench.data.coco_check import Ints, one_line
from detbench.errors import DataError

Others = tuple[Ints, ...]
_RESTORE = "restore the file"


def read(path: Path, classes: dict[str, int]) -> Others:
    """The classes above each class, ascending, of OpenImages' JSON of LabelName and Subcategory.

    Those of the file that are no classes, as its root is none, are left out. What is part of
    something else (``Part``) is not below it.

    Args:
        classes: label of each by its LabelName.

    Raises:
        DataError: it is missing, no JSON, or no hierarchy of these classes.
    """
    above: list[set[int]] = [set() for _ in classes]
    waiting: list[tuple[Any, frozenset[int]]] = [(_parsed(path), frozenset())]
    seen = 0
    while waiting:
        node, higher = waiting.pop()
        name = node.get("LabelName") if isinstance(node, dict) else None
        below = node.get("Subcategory", []) if isinstance(node, dict) else None
        if not isinstance(name, str) or not isinstance(below, list):
            raise DataError(
                f"class hierarchy {path}: a class in it has no LabelName or no list of "
                f"Subcategory; {_RESTORE}"
            )
        if (own := classes.get(name)) is not None:
            seen += 1
            above[own] |= higher - {own}
            higher = higher | {own}
        waiting += [(one, higher) for one in below]
    if not seen:
        raise DataError(
            f"class hierarchy {path}: none of the {len(classes)} classes is in it; take both from "
            f"one release"
        )
    return tuple(np.array(sorted(one), np.int64) for one in above)


def _parsed(path: Path) -> Any:
    try:
        return inputs.from_json(inputs.text(path, "utf-8-sig"))
    except FileNotFoundError:
        raise DataError(
            f"class hierarchy {path} is not there; mend --data-root / DETBENCH_DATA"
        ) from None
    except OSError as error:
        raise DataError(f"class hierarchy {path} cannot be read: {error.strerror}") from None
    except inputs.Twice as error:
        raise DataError(f"class hierarchy {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"class hierarchy {path} is truncated or no JSON ({one_line(error)}); {_RESTORE}"
        ) from None


def turned(others: Others) -> Others:
    """The classes below each one, of those above it; or the other way round."""
    pairs = [(one, label) for label, every in enumerate(others) for one in every.tolist()]
    found: list[list[int]] = [[] for _ in others]
    for one, label in pairs:
        found[one].append(label)
    return tuple(np.array(one, np.int64) for one in found)


def expanded(labels: Ints, others: Others) -> tuple[Ints, Ints]:
    """Each row with its label, and again with each of the others of it.

    Args:
        labels: (n,).

    Returns:
        Rows of ``labels`` and labels, (k,) each, in the order of the rows, its own label first.
    """
    widths = np.array([1 + len(one) for one in others], np.int64)
    flat = np.concatenate([np.append(label, one) for label, one in enumerate(others)])
    starts = np.cumsum(widths) - widths
    counts = widths[labels]
    rows = np.repeat(np.arange(len(labels)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, flat[starts[labels[rows]] + within].astype(np.int64)
