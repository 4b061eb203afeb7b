"""Whether networks can be built, and fit the weights files that they would start from: asked before
anything runs.

``python -m detbench.training.fits`` answers ``lookup.misfits``, JSON on stdin, JSON on stdout,
``lookup.unknown_networks``, whether backbones can be made at all, and ``lookup.unbuilt``, whether
detectors with parts of the user's can. Networks are built without memory, but for the last; a file
is read once.
"""

from __future__ import annotations

import json
import sys
import warnings
from functools import cache
from pathlib import Path

import torch

from detbench import inputs
from detbench.assembly import build_detector
from detbench.assembly.common import make, place_of
from detbench.errors import DataError, DetbenchError, RecipeError, WeightsError, visible
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
        content = _read(inputs.expanded(name))
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


def unbuilt(cell: Cell, root: Path) -> str:
    """Why a cell's detector cannot be built, each part of the user's tried as it is; empty if it
    can. An error of the user's code is a sentence too: its type, its message and its line.

    Args:
        root: folder of data sets, whose classes are those of the network.
    """
    try:
        build_detector(cell.detector, [name for _, name in cell.data.categories(root)])
    except DataError:  # is said of the data
        return ""
    except DetbenchError as error:
        return str(error)
    except Exception as error:
        notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        return visible(f"{place_of(error)}{type(error).__name__}: {error}{notes}")
    return ""


def main() -> None:
    """Answer for the cells, or the backbones, on stdin."""
    asked = json.load(sys.stdin)
    warnings.simplefilter("ignore")  # that nothing is copied to tensors without memory
    if "backbones" in asked:
        print(json.dumps([unmade(Timm.of_plain(one)) for one in asked["backbones"]]))
        return
    ask = unbuilt if asked.get("build") else misfit
    found = [ask(Cell.of_plain(cell), Path(asked["root"])) for cell in asked["cells"]]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
