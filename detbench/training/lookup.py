"""What a cell's training starts from, and whether it is here: asked before anything runs. No torch.

torchvision and timm know the names, and importing them brings torch: so they are asked in a process
of their own, ``python -m detbench.training.named NAME...``, and only about names. So are networks
whether a file fits them, ``python -m detbench.training.fits``. Nothing is downloaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detbench import children, inputs
from detbench.errors import WeightsError
from detbench.recipe import embedded, source
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.recipe.model import Pixels, Timm

SUFFIXES = (".pt", ".pth", ".safetensors", ".pkl", ".bin", ".tar")
FETCH = "detbench weights fetch"
OPEN_MMLAB = "open-mmlab://"
"""Begins the names of what MMDetection's configurations start from (mmcv's open_mmlab.json)."""
TIMM = "timm:"
"""Begins timm's names where torchvision's must not be meant."""


@dataclass(frozen=True)
class Answer:
    """What torchvision or timm say of a name.

    Attributes:
        origin: ``torchvision``, ``timm``, ``OpenMMLab`` or ``detbench``; empty if none has it.
        path: the file in their cache, whether it is there or not; empty where they do not tell.
        cached: whether it is there.
        problem: why there are no such weights; else empty.
        pixels: mean and deviation of the pixels that they were trained on, RGB in [0, 255]; empty
            where they do not tell.
    """

    origin: str = ""
    path: str = ""
    cached: bool = False
    problem: str = ""
    pixels: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        name: of torchvision or timm, or a file; empty is from scratch.
        default: it is what the recipe names, and the user asked for that without naming it.
    """

    name: str
    default: bool = False

    @property
    def text(self) -> str:
        """How messages name it."""
        return f"the detector's default weights '{self.name}'" if self.default else self.name


def start(weights: str, default: str | None) -> Start:
    """What ``training.weights`` means for a backbone whose recipe names ``default``."""
    if weights == "none":
        return Start("")
    return Start(default or "", True) if weights == "default" else Start(weights)


def of_cell(cell: Cell) -> Start:
    """What a cell's training starts from."""
    return start(cell.training.weights, getattr(cell.detector.backbone, "weights", None))


def is_file(name: str) -> bool:
    """Whether a weights setting means a file; a missing one is still meant as one."""
    if name.startswith(OPEN_MMLAB) or embedded.is_name(name):
        return False
    return inputs.expanded(name).is_file() or "/" in name or name.endswith(SUFFIXES)


def needs_lookup(one: Start) -> bool:
    """Whether only torchvision, timm or the list of OpenMMLab's can tell about it."""
    return is_published(one.name) and not embedded.is_name(one.name)


def is_published(name: str) -> bool:
    """Whether a weights setting is a name, of torchvision, timm, OpenMMLab or detbench."""
    return bool(name) and not is_file(name)


def problem(one: Start, found: Answer | None = None) -> str:
    """Why a training cannot start from these weights, and what to do; empty if it can.

    Args:
        found: of a name that ``needs_lookup``.
    """
    if one.default and not one.name:
        return (
            "training.weights = default: this detector's backbone names no weights: name some, "
            "give a file, or start from scratch with --set training.weights=none"
        )
    if embedded.is_name(one.name):
        return embedded.problem(one.name)
    if "://" in one.name and not one.name.startswith(OPEN_MMLAB):
        return f"{one.text}: no address is fetched: give the path of a file"
    if one.name and is_file(one.name):
        there = inputs.expanded(one.name).is_file()
        return (
            ""
            if there
            else (
                f"{one.name} is no file here: give the path of one by --set training.weights=FILE"
            )
        )
    if found is None:
        return ""
    if found.problem or found.cached or not one.default:
        return found.problem
    return (
        f"{one.text} are not on this machine, and nothing is downloaded unasked: "
        f"{FETCH} {one.name}, or give a file by --set training.weights=FILE"
    )


def problems(starts: Iterable[Start]) -> dict[Start, str]:
    """``problem`` of each, all names looked up at once; seconds if there is any."""
    known = list(dict.fromkeys(starts))
    found = look_up([one.name for one in known if needs_lookup(one)])
    return {one: problem(one, found.get(one.name)) for one in known}


def check(cells: Iterable[Cell]) -> None:
    """Raise unless every cell can start from what it asks for, and its network exists.

    Raises:
        WeightsError: the first that cannot.
    """
    known = list(cells)
    for said in (*unknown_networks(known), *problems(of_cell(cell) for cell in known).values()):
        if said:
            raise WeightsError(said)


def unknown_networks(cells: Iterable[Cell]) -> list[str]:
    """Sentences on backbones that timm does not have, or that cannot be made of its networks as
    asked; seconds if any cell has one of timm's.
    """
    backbones = (cell.detector.backbone for cell in cells)
    timms = {one.model_dump_json(): one for one in backbones if isinstance(one, Timm)}
    names = look_up([one.weights for one in timms.values()])
    known = [one for one in timms.values() if not names[one.weights].problem]
    said = [one.problem for one in names.values()]
    if known:
        asked = json.dumps({"backbones": [one.model_dump(mode="json") for one in known]})
        said += _asked("detbench.training.fits", [], asked)
    return [one for one in said if one]


def other_pixels(start: str, pixels: Pixels, trained: Sequence[Sequence[float]]) -> str:
    """A sentence where a network's pixels are not those that its weights were trained on.

    Args:
        start: what the weights are called.
        pixels: of the recipe.
        trained: mean and deviation, RGB in [0, 255]; empty if nobody knows.
    """
    if not trained:
        return ""
    given = zip((*pixels.mean, *pixels.std), (*trained[0], *trained[1]), strict=True)
    if pixels.order == "rgb" and all(abs(one - other) < 0.01 for one, other in given):
        return ""
    mean, std = ([round(value, 3) for value in values] for values in trained)
    return (
        f"{start}: trained on other pixels than the recipe's: "
        f'pixels = {{ order = "rgb", mean = {mean}, std = {std} }} gives them'
    )


def look_up(names: Sequence[str]) -> dict[str, Answer]:
    """What torchvision and timm say of each name; nothing is started for none.

    Raises:
        WeightsError: they cannot be asked, as PyTorch cannot be imported.
    """
    if not names:
        return {}
    answer = _asked("detbench.training.named", list(dict.fromkeys(names)))
    return {name: Answer(**one) for name, one in answer.items()}


def misfits(cells: Sequence[Cell], root: Path) -> list[str]:
    """Why each cell's network cannot start from the file that it asks for; empty where it can, or
    where it asks for none. Networks are built and files read in a process of their own: seconds.

    Args:
        root: folder of data sets.

    Raises:
        WeightsError: PyTorch cannot be imported.
    """
    keys = [(of_cell(cell).name, digest(cell.detector), digest(cell.data)) for cell in cells]
    wanted = {
        key: cell.model_dump(mode="json")
        for key, cell in zip(keys, cells, strict=True)
        if key[0] and is_file(key[0]) and inputs.expanded(key[0]).is_file()
    }
    if not wanted:
        return [""] * len(cells)
    asked = json.dumps({"root": str(root), "cells": list(wanted.values())})
    found = dict(zip(wanted, _asked("detbench.training.fits", [], asked), strict=True))
    return [found.get(key, "") for key in keys]


def unbuilt(cells: Iterable[Cell], root: Path) -> list[str]:
    """Why detectors with parts of the user's cannot be built, a sentence each and none twice; their
    code runs in a process of its own: seconds. Nothing is started where none has such parts.

    Args:
        root: folder of data sets.

    Raises:
        WeightsError: PyTorch cannot be imported.
    """
    own = {digest(one.detector): one for one in cells if any(source.targets(one.detector))}
    if not own:
        return []
    plain = [one.model_dump(mode="json") for one in own.values()]
    said = _asked(
        "detbench.training.fits", [], json.dumps({"build": True, "root": str(root), "cells": plain})
    )
    return list(dict.fromkeys(filter(None, said)))


def _asked(module: str, words: list[str], given: str = "") -> Any:
    """What a module answers in a process of its own, as JSON in the last line."""
    command = children.command(module, *words)
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except OSError as error:
        raise WeightsError(
            f"weights cannot be looked up: {sys.executable} cannot be started: {error.strerror}"
        ) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise WeightsError(f"weights cannot be looked up: {said}: see detbench doctor")
    return json.loads(lines[-1])
