"""Under what stored numbers were measured, where that differs among those that stand together.

The same cell measured on another device, with other versions or threads is the same cell, and comes
out slightly differently. No torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from detbench.recipe.experiment import Cell
from detbench.results.store import Stored

PARTS = ("device", "threads", "processes", "detbench", "torch", "torchvision", "cuda", "cudnn")


def differing(stored: Iterable[Stored]) -> dict[str, dict[str, int]]:
    """Condition -> its values -> how many cells have each; of those that are not the same in all
    that say it.
    """
    origins = [one.rows[0].provenance for one in stored if one.status == "done"]
    found = {
        part: Counter(str(origin[part]) for origin in origins if part in origin) for part in PARTS
    }
    return {part: dict(counts) for part, counts in found.items() if len(counts) > 1}


def notes(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The sentence under a table; none where nothing differs."""
    if not found:
        return []
    said = "; ".join(
        f"{part} {', '.join(f'{value} ({count})' for value, count in counts.items())}"
        for part, counts in found.items()
    )
    return [f"Cells (so many in brackets) were measured under different conditions: {said}."]


def caveats(cells: Iterable[Cell]) -> list[str]:
    """What is to be known of how weights were chosen, in sentences."""
    found = {cell.training.caveat for cell in cells} - {None}
    return [f"{said}." for said in sorted(map(str, found))]
