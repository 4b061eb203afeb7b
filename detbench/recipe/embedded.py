"""Weights of backbones that lie beside the recipes: their names, and which fits a cell. No torch.

``training.weights = "embedded"`` asks for whatever file fits a cell's backbone. It becomes the name
of that file, ``embedded:<backbone>-<begin of its content's sha256>``, when the cell is resolved: so
a cell's digest tells from which content it started. A file is safetensors (tensors alone), and says
in its header how it was made.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from detbench import inputs
from detbench.errors import RecipeError, WeightsError
from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.recipe.light import BLOCKS
from detbench.recipe.model import Pixels, ResNet, Timm
from detbench.recipe.table import Profile
from detbench.recipe.validate import suggest

WANTED = "embedded"
PREFIX = f"{WANTED}:"
ORIGIN = "detbench"
SUFFIX = ".safetensors"
PRETRAIN = "detbench weights pretrain"
KEY = "detbench"
"""Of the entry in a file's header that tells how it was made, as JSON."""

BOTTLENECK = 50
"""The depth from which a ResNet has bottlenecks."""
_HEX = 8


def identity(backbone: ResNet, pixels: Pixels) -> str:
    """What all backbones are called that can start from one file, as in ``resnet14-w0.25-1a2b3c4d``

    It tells the layers, the cardinality, the style and the width; and its last part everything that
    the weights mean anything for: kind and numbers of blocks, width, groups, style, and the pixels
    they are fed (channel order and scale belong to the first layer's weights, as with Caffe's).
    Deformable offsets, norms' mode and frozen stages do not count: they need no weights of a file.
    """
    blocks = backbone.blocks or BLOCKS[backbone.depth]
    basic = backbone.depth < BOTTLENECK
    facts = {
        "block": "basic" if basic else "bottleneck",
        "blocks": list(blocks),
        "width": backbone.width,
        "groups": backbone.groups,
        "base_width": backbone.base_width,
        "style": backbone.style,
        "pixels": pixels.model_dump(mode="json"),
    }
    layers = (2 if basic else 3) * sum(blocks) + 2
    parts = [f"{'resnext' if backbone.groups > 1 else 'resnet'}{layers}"]
    if backbone.groups > 1:
        parts.append(f"{backbone.groups}x{backbone.base_width}d")
    if backbone.style != "pytorch":
        parts.append(backbone.style)
    if backbone.width != 1:
        parts.append(f"w{backbone.width:g}")
    text = json.dumps(facts, sort_keys=True)
    return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:_HEX]])


def folder() -> Path:
    """Where the files lie, beside the recipes; it need not be there."""
    return load.root() / "weights"


def files() -> dict[str, Path]:
    """The files by their backbones' identities."""
    return {path.stem: path for path in sorted(folder().glob(f"*{SUFFIX}"))}


def name(path: Path) -> str:
    """What the file is called in a cell.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        stat = path.stat()
        return f"{PREFIX}{path.stem}-{_sum(path, stat.st_mtime_ns, stat.st_size)}"
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(
        f"{path}: cannot be read: {error.strerror or error}: mend it, or delete it and make it "
        f"again by {PRETRAIN}"
    )


@cache
def _sum(path: Path, changed: int, size: int) -> str:
    """Begin of the sha256 of a file's content, for as long as it seems unchanged."""
    return hashlib.sha256(inputs.content(path)).hexdigest()[:_HEX]


def is_name(text: str) -> bool:
    """Whether a weights setting means embedded ones."""
    return text == WANTED or text.startswith(PREFIX)


def problem(text: str) -> str:
    """Why there are no embedded weights of this name, and what to do; else empty."""
    if text == WANTED:
        return f"weights '{text}': which ones depends on a recipe: {_known()}"
    own, _, _ = text.removeprefix(PREFIX).rpartition("-")
    path = files().get(own)
    if path is None:
        known = _names()
        return f"weights '{text}': no such file{suggest(text, known)}: {_known()}"
    now = name(path)
    if now != text:
        return (
            f"weights '{text}': the file of {own} has another content, {now}: "
            f"--set training.weights={WANTED} takes it"
        )
    try:
        provenance(path)
    except WeightsError as error:
        return f"weights '{text}': {error}"
    return ""


def path(text: str) -> Path:
    """The file of a name.

    Raises:
        WeightsError: there is none, or it has another content.
    """
    if said := problem(text):
        raise WeightsError(said)
    return files()[text.removeprefix(PREFIX).rpartition("-")[0]]


def _names() -> list[str]:
    """Of the files that can be read."""
    found = []
    for path in files().values():
        with suppress(WeightsError):
            found.append(name(path))
    return found


def _known() -> str:
    known = _names()
    return f"there are {', '.join(known)}" if known else f"there are none, {PRETRAIN} makes them"


def settle(cell: Cell, profile: Profile) -> tuple[Cell, str]:
    """The cell with the name of the embedded weights that fit it, if it asks for them.

    Returns:
        The cell, from scratch where no file fits its backbone, and a sentence that says so.

    Raises:
        RecipeError: it names embedded weights that are not there, or another backbone's.
    """
    wanted = cell.training.weights
    if not is_name(wanted):
        return cell, ""
    whose = "timm's" if isinstance(cell.detector.backbone, Timm) else "one's own"
    own, why = "", f"a backbone of {whose} has no embedded weights"
    if isinstance(cell.detector.backbone, ResNet):
        own = identity(cell.detector.backbone, cell.detector.pixels)
        why = f"there are no embedded weights of the backbone {own}: {_advice(profile)}"
    if wanted != WANTED:
        _check_named(wanted, own)
        return cell, ""
    fitting = files().get(own)
    if fitting is not None:
        return _starting(cell, name(fitting)), _shared_scenes(cell, profile)
    return _starting(cell, "none"), f"training starts from scratch, as {why}"


def _shared_scenes(cell: Cell, profile: Profile) -> str:
    """A sentence where a cell trains on the scenes that its weights were made from; else empty."""
    made = profile.pretraining
    drawn = cell.data.by_seed and made is not None and made.data.by_seed
    if made is None or not drawn or cell.seed != made.seed:
        return ""
    return f"seed {cell.seed} draws the scenes that its weights were made from: take another"


def _check_named(wanted: str, own: str) -> None:
    said = problem(wanted)
    other = wanted.removeprefix(PREFIX).rpartition("-")[0]
    if not said and other != own:
        whose = f"this backbone is {own}" if own else "this backbone is one's own"
        said = f"weights '{wanted}': of another backbone: {whose}"
    if said:
        raise RecipeError(f"training.weights: {said}")


def _starting(cell: Cell, weights: str) -> Cell:
    training = cell.training.model_copy(update={"weights": weights})
    return cell.model_copy(update={"training": training})


def missed(cell: Cell, base: Cell) -> bool:
    """Whether a cell starts from scratch where its profile's start from embedded weights."""
    return cell.training.weights == "none" and base.training.weights == WANTED


def whole(cell: Cell) -> Cell:
    """The cell with a backbone that trains whole: random layers are not worth keeping."""
    backbone = cell.detector.backbone
    if not isinstance(backbone, ResNet | Timm):
        return cell
    live = backbone.model_copy(update={"norm": "batch", "frozen_stages": -1})
    return cell.model_copy(update={"detector": cell.detector.model_copy(update={"backbone": live})})


def _advice(profile: Profile) -> str:
    if profile.pretraining is None:
        return f"profile {profile.id} does not say how to make them (its table 'pretraining')"
    named = profile.id if profile.id in load.profiles() else "FILE.toml"
    return f"with the same table and --set, {PRETRAIN} --profile {named} makes them"


def provenance(path: Path) -> dict[str, Any]:
    """How the weights in a file were made, from its header.

    Raises:
        WeightsError: it cannot be read, or is not one of ours.
    """
    try:
        with inputs.opened(path) as file:
            size = int.from_bytes(file.read(8), "little")
            if size > path.stat().st_size:
                raise ValueError
            header = json.loads(file.read(size))
        found = json.loads(header.pop("__metadata__")[KEY])
        ends = [tensor["data_offsets"][1] for tensor in header.values()]
        whole = 8 + size + max(ends, default=0) == path.stat().st_size
        if not isinstance(found, dict) or not whole:
            raise ValueError
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path}: damaged, or not made by {PRETRAIN}: delete it and make it again"
        ) from error
    return found
