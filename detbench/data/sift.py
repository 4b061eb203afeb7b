"""Every fault of an annotation file in COCO's format at once, and what of it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detbench.data.box_rule import BoxRule
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
            wrong = set(map(id, error.entries))
            for name in ("categories", "images", "annotations"):
                content[name] = [one for one in content[name] if id(one) not in wrong]
    return None, [*faults, more(path)]
