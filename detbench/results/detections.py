"""A cell's file of detections: packed COCO results, bound to the numbers that they gave.

The rows of a cell hold the sha256 of its file of detections, in their provenance, so that a file
which was swapped, or written by another measurement at the same time, is found without scoring it.
Rows of before this was so have none, and take any.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from detbench import inputs
from detbench.data.coco_boxes import is_whole
from detbench.errors import CellFailed
from detbench.results.files import parse_json
from detbench.results.schema import Damaged, Measurement

KEY = "detections"
"""Of the provenance."""
STORED = re.compile(r"train-eval-([0-9a-f]{64})\.detections\.json\.gz")


def packed(found: list[dict[str, Any]]) -> bytes:
    """The file of detections; equal ones make equal bytes, as there is no time in them.

    Raises:
        CellFailed: a box or score is not finite.
    """
    try:
        text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise CellFailed("a detection is not finite, and no such is stored") from error
    return gzip.compress(text.encode(), 6, mtime=0)


def bound(rows: Sequence[Measurement], content: bytes) -> list[Measurement]:
    """The rows, with what binds them to a file of detections."""
    key = {KEY: hashlib.sha256(content).hexdigest()}
    # What rows share stays one, so that it is written once.
    whole = {id(row.provenance): row.provenance | key for row in rows}
    return [replace(row, provenance=whole[id(row.provenance)]) for row in rows]


def is_bound(rows: Sequence[Measurement]) -> bool:
    """Whether rows say which detections they are of."""
    return bool(rows) and KEY in rows[0].provenance


def check(rows: Sequence[Measurement], content: bytes) -> None:
    """Raise ``Damaged`` if a file's bytes are not those that bound rows were measured from."""
    if is_bound(rows) and rows[0].provenance[KEY] != hashlib.sha256(content).hexdigest():
        raise Damaged("they are not the detections that its numbers were measured from")


def unpacked(content: bytes) -> list[dict[str, Any]]:
    """What a file of detections holds.

    Raises:
        Damaged: it is truncated, garbled, too large, or holds something else.
    """
    try:
        found = parse_json(inputs.unpacked(content))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise Damaged(" ".join(str(error).split())) from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Damaged("it holds no list of detections")
    if not _plain(found):
        raise Damaged("an id, a box or a score in it is no number, or not finite")
    return found


def _plain(found: list[dict[str, Any]]) -> bool:
    """Whether all have ids, scores and, where they have boxes, four sides that are numbers."""
    try:
        ids = [one[key] for key in ("image_id", "category_id") for one in found]
        boxes = [one["bbox"] for one in found if "bbox" in one]
        numbers = [one["score"] for one in found]
        numbers += chain.from_iterable(boxes)
        return (
            all(map(is_whole, ids))
            and set(map(type, boxes)) <= {list}
            and set(map(len, boxes)) <= {4}
            and set(map(type, numbers)) <= {int, float}
            and all(map(math.isfinite, numbers))
        )
    except (KeyError, TypeError, OverflowError):
        return False
