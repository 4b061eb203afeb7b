"""Whether weights files fit the networks that would start from them: asked before anything runs.

``python -m detbench.training.fits`` answers ``lookup.misfits``, JSON on stdin, JSON on stdout, and
``lookup.unknown_networks``, whether backbones can be made at all. Networks are built without
memory; a file is read once.
"""

from __future__ import annotations

import json
import sys
import warnings
from functools import cache
from pathlib import Path

import torch

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.errors import RecipeError, WeightsError
from detbench.recipe.experiment import Cell
from detbench.recipe.model import Timm
from detbench.training import files, lookup
from detbench.training.weights import load_content

_read = cache(files.read)


def misfit(cell: Cell, root: Path) -> str:
    """Why a cell's network cannot start from its weights file; empty if it can, or if something
    else is wrong, which is said where that is looked at.

    Args:
        root: folder of data sets, whose classes are those of the network.
    """
    name = lookup.of_cell(cell).name
    try:
        content = _read(Path(name).expanduser())
        names = [name for _, name in cell.data.categories(root)]
        with torch.device("meta"):
            detector = build_detector(cell.detector, names)
    except WeightsError as error:
        return str(error)
    except Exception:  # also of a user's own module: it is raised where that is run
        return ""
    try:
        load_content(detector, content, name, allow_partial=None)
    except WeightsError as error:
        return str(error)
    return ""


def unmade(backbone: Timm) -> str:
    """Why timm's network cannot be this backbone; empty if it can."""
    try:
        with torch.device("meta"):
            make(backbone)
    except RecipeError as error:
        return str(error)
    return ""


def main() -> None:
    """Answer for the cells, or the backbones, on stdin."""
    asked = json.load(sys.stdin)
    warnings.simplefilter("ignore")  # that nothing is copied to tensors without memory
    if "backbones" in asked:
        print(json.dumps([unmade(Timm.of_plain(one)) for one in asked["backbones"]]))
        return
    found = [misfit(Cell.of_plain(cell), Path(asked["root"])) for cell in asked["cells"]]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
