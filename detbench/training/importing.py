"""Other projects' weights for a detector of ours: how they fit, part by part; writing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.backbones.pretrained import cover
from detbench.detectors.fitting import Fit, compare
from detbench.detectors.foreign import ForeignState
from detbench.recipe import resolve
from detbench.recipe.experiment import Cell
from detbench.training import weights

PARTS_OF = "Part"


@dataclass(frozen=True)
class Imported:
    """A file's weights beside a detector.

    Attributes:
        origin: whose file it is.
        classes: of the detector.
        parts: fit of each part of the network; what only the file has is under the part its name
            begins with.
        advice: what the mismatch looks like; empty or ending in "; ".
        differences, remarks: see ``detectors.foreign.ForeignState``.
    """

    detector: nn.Module
    state: dict[str, Tensor]
    origin: str
    classes: int
    fit: Fit
    parts: dict[str, Fit]
    advice: str
    differences: tuple[str, ...]
    remarks: tuple[str, ...]


def examine(
    path: Path,
    detector: str,
    profile: str = "paper",
    overrides: Sequence[str] = (),
    classes: int | None = None,
) -> Imported:
    """Compare the weights in a file with a detector; neither is changed.

    Args:
        detector: id or file of a recipe.
        profile, overrides: make its network, as a run's would.
        classes: by default as many as the file names, else those of the data set of the recipe's
            schedule.

    Raises:
        RecipeError, WeightsError: mistakes in the names, or no file of weights.
    """
    content = weights.read(path)
    cell = resolve.cell(detector, profile, 0, overrides).cell
    assert cell is not None
    count = classes or len(content.classes or ()) or _own_classes(detector, profile, cell)
    network = build_detector(cell.detector, count)
    if weights.is_backbone(network, content):
        own = cover(network)
        translated = ForeignState(weights.for_backbone(own, content.state))
    else:
        translated = weights.translate(network, content)
    state = weights.join(network, translated, str(path), allow_partial=False)
    fit = compare(network.state_dict(), state)
    return Imported(
        network,
        state,
        content.origin,
        count,
        fit,
        _by_part(fit),
        _advice(fit, count),
        translated.differences,
        translated.remarks,
    )


def refusal(found: Imported) -> str:
    """Why weights whose parameters fit are not taken all the same; empty if they are."""
    return ForeignState({}, None, found.differences).refusal(found.origin)


def write(found: Imported, output: Path) -> None:
    """Load what fits into the detector and write all its weights as ours.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    shapes = {name: tensor.shape for name, tensor in found.detector.state_dict().items()}
    fitting = {name: x for name, x in found.state.items() if shapes.get(name) == x.shape}
    found.detector.load_state_dict(fitting, strict=False)
    weights.save(output, found.detector)


def plain(found: Imported) -> dict[str, Any]:
    """For json: every key."""
    return {
        "origin": found.origin,
        "classes": found.classes,
        "class_names": weights.class_names(found.detector),
        "differences": list(found.differences),
        "remarks": list(found.remarks),
        "fits": found.fit.whole,
        **asdict(found.fit),
        "parts": {
            part: {
                "matching": len(fit.matching),
                "missing": len(fit.missing),
                "unknown": len(fit.unknown),
                "reshaped": len(fit.reshaped),
            }
            for part, fit in found.parts.items()
        },
    }


def _own_classes(detector: str, profile: str, cell: Cell) -> int:
    """Of the recipe's own data set, whatever the profile trains on."""
    paper = resolve.cell(detector, "paper").cell
    assert paper is not None
    return paper.data.num_classes


def _by_part(fit: Fit) -> dict[str, Fit]:
    def part(name: str) -> str:
        return name.partition(".")[0]

    every = [*fit.matching, *fit.missing, *(name for name, _, _ in fit.reshaped), *fit.unknown]
    return {
        one: Fit(
            tuple(name for name in fit.matching if part(name) == one),
            tuple(name for name in fit.missing if part(name) == one),
            tuple(name for name in fit.unknown if part(name) == one),
            tuple(row for row in fit.reshaped if part(row[0]) == one),
        )
        for one in dict.fromkeys(map(part, every))
    }


def _advice(fit: Fit, classes: int) -> str:
    """What a file with another number of classes asks for."""
    if not fit.hint():
        return ""
    for name, own, given in fit.reshaped:
        if name.rpartition(".")[0].endswith("cls"):
            # RoI heads score the background too; dense ones each class at each anchor.
            guess = given[0] - 1 if own[0] == classes + 1 else given[0] * classes / own[0]
            if guess >= 1 and guess == int(guess):
                return f"it looks like one of {int(guess)} classes: --classes {int(guess)}; "
    return fit.hint()
