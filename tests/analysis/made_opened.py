"""Detectors of small scenes with weights that are known in part, opened as analyses open them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from detbench.analysis import subjects
from detbench.analysis.kind import Asked, Columns, Kind
from detbench.analysis.opened import Opened
from detbench.assembly import build_detector
from detbench.results.store import Store
from detbench.runner.plan import Request
from detbench.training import weights as files

SMALL = ("data.size=64", "data.val=3")


def opened(
    folder: Path, recipe: str, kind: Kind, change: Callable[[Any], None], *overrides: str
) -> tuple[subjects.Subject, Opened]:
    """A detector of a recipe, or of a file, whose weights are drawn and then changed."""
    request = Request("", "smoke", overrides=(*SMALL, *overrides))
    cell, _, _ = subjects._of_recipe(recipe, request)
    torch.manual_seed(0)
    network = build_detector(cell.detector, 12)
    with torch.no_grad():
        change(network)
    files.save(folder / "w.pt", network)
    name = f"{recipe}@{folder / 'w.pt'}"
    [subject], _ = subjects.find(name, kind, request, Store(folder / "results"))
    return subject, Opened(subject, Path("data"), torch.device("cpu"))


def measured(kind: Kind, made: tuple[subjects.Subject, Opened], image: int = 1) -> Columns:
    """The table of one image, the first that is looked at."""
    settings = {one.name: one.default for one in kind.settings}
    return kind.measure(Asked(made[0], image, settings, made[1]))
