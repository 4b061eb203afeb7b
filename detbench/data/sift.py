"""Every fault of an annotation file in COCO's format at once, and what of it is sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detbench.data.box_rule import BoxRule
from detbench.data.coco_boxes import is_whole
from detbench.data.coco_check import Table, check, parsed
from detbench.data.faults import MOST, Fault, more
from detbench.errors import DataError


def sifted(path: Path, rule: BoxRule) -> tuple[Table | None, list[str]]:
    """What is sound of a file, and its faults, by leaving out the entries that have one.

    Returns:
        The table of the rest, none where the file as a whole is at fault or has very many faults,
        and a sentence for each fault.
    """
    try:
        content: Any = parsed(path)
    except DataError as error:
        return None, [str(error)]
    faults: list[str] = []
    while len(faults) < MOST:
        try:
            return check(content, path, masks=True, rule=rule), faults
        except Fault as error:
            faults.append(str(error))
            if not error.entries:
                return None, faults
            _leave_out(content, error.entries)
            if not (content["categories"] and content["images"]):
                return None, faults
    return None, [*faults, more(path)]


_REFER = {"categories": "category_id", "images": "image_id", "annotations": ""}
"""Parts of a file, with the key by which annotations refer to their ids."""


def _leave_out(content: dict[str, Any], wrong: Sequence[dict[str, Any]]) -> None:
    """Take entries out of COCO's dictionary, and with a category or image what refers to it."""
    every = set(map(id, wrong))
    for name, key in _REFER.items():
        out = [one for one in content[name] if id(one) in every]
        content[name] = [one for one in content[name] if id(one) not in every]
        gone = _ids(out, "id") - _ids(content[name], "id") if key and out else set()
        if gone:
            refer = content["annotations"]
            content["annotations"] = [one for one in refer if not _ids([one], key) & gone]


def _ids(entries: Sequence[dict[str, Any]], key: str) -> set[int | float]:
    return {one[key] for one in entries if is_whole(one.get(key))}
