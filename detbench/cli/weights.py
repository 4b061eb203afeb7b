"""``detbench weights``: what trainings can start from."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from detbench.cli import common, pretrain
from detbench.cli.common import argument, option, path_argument, path_option
from detbench.cli.groups import epilog, group
from detbench.errors import RecipeError, WeightsError
from detbench.report.table import Entry, Sheet, columns, plain

if TYPE_CHECKING:
    from detbench.detectors.fitting import Fit
    from detbench.training.importing import Imported
    from detbench.training.inventory import Weights

EXAMPLES = (
    "detbench weights list",
    "detbench weights fetch ResNet50_Weights.IMAGENET1K_V1",
    "detbench weights import fcos_r50.pth --detector fcos-r50 --output fcos.pt",
    "detbench weights pretrain --profile smoke",
)

app = group("List, fetch, import and pretrain weights.", EXAMPLES)


@app.command(
    "list", epilog=epilog(("detbench weights list", "detbench weights list --format json"))
)
def list_(format: common.FormatOption = "terminal") -> None:
    """List the weights that recipes name: whether they are here, where, and how to get them.

    Below them the embedded ones, and what else lies in torch hub's cache. Nothing is downloaded.
    """
    from detbench.training import inventory

    found = inventory.take()
    common.emit(_inventory_sheet(found), format, inventory.plain(found))


@app.command(
    "fetch",
    epilog=epilog(
        (
            "detbench weights fetch ResNet50_Weights.IMAGENET1K_V1",
            "detbench weights fetch resnet50.a1_in1k",
        )
    ),
)
def fetch(
    names: Annotated[
        list[str],
        argument(
            "NAME...", "Names of torchvision, timm or OpenMMLab, as in detbench weights list."
        ),
    ],
) -> None:
    """Download weights by name into torch hub's or Hugging Face's cache, unless they are there.

    From then on --set training.weights=default takes them, where they are a recipe's own.
    """
    from detbench.training import weights

    known = {name: weights.find(name) for name in names}  # all names before the first download
    for name, named in known.items():
        if not named.cached:
            common.say(f"{name}: downloading from {named.origin}'s address")
        with redirect_stdout(sys.stderr):  # torch hub prints where it downloads to
            weights.fetch(name, named)
        where = weights.find(name).path
        common.say(f"{name}: {'was here' if named.cached else 'is here now'}: {where}")


@app.command(
    "import",
    epilog=epilog(
        (
            "detbench weights import fcos_r50.pth --detector fcos-r50 --output fcos.pt",
            "detbench weights import frcnn.pth --detector faster-rcnn-r50 --format json",
            "detbench weights import own.pth --detector my.toml --allow-partial",
        )
    ),
)
def import_(
    file: Annotated[
        Path,
        path_argument(
            "FILE",
            "A checkpoint of MMDetection, torchvision or detectron2, a file of ours, a state dict, "
            "or a backbone's.",
        ),
    ],
    detector: Annotated[
        str,
        option(
            "NAME",
            "The detector they are for: an id, as in fcos-r50, or a file of your own.",
            complete=common.complete_detectors,
        ),
    ],
    output: Annotated[
        Path | None,
        path_option("FILE.pt", "Where to write them as ours; without it they are only looked at."),
    ] = None,
    classes: Annotated[
        int | None,
        option(
            "N",
            "Number of classes; by default as many as FILE names, else those of the detector's own "
            "data set.",
            min=1,
        ),
    ] = None,
    profile: Annotated[str, option("NAME", "Whose network: paper, small, smoke.")] = "paper",
    set_: common.SetOption = None,
    allow_partial: common.AllowPartialOption = False,
    force: common.ForceOption = False,
    format: common.FormatOption = "terminal",
) -> None:
    """Look how far the weights in FILE fit a detector, and write them for `eval`, `train`, `run`.

    Printed: by part of the network, how many parameters match, are missing from the file, or have
    another shape; and what the file has that the network has not. Exit code 2 if anything does not
    fit, unless --allow-partial.
    """
    from detbench.training import importing

    if output is not None:
        _check_output(output, file, force)
    found = importing.examine(file, detector, profile, set_ or (), classes)
    common.emit(_fit_sheet(file, detector, found), format, importing.plain(found))
    if found.differences and not allow_partial:
        raise WeightsError(f"{file}: {importing.refusal(found)}")
    if not found.fit.whole and not (allow_partial and found.fit.matching):
        advice = "nothing fits: are they for another detector?"
        if found.fit.matching:
            advice = f"{found.advice}--allow-partial takes what fits"
        raise WeightsError(f"{file}: does not fit {detector}: {advice}")
    if output is not None:
        importing.write(found, output)
        common.say(f"{output}: {len(found.fit.matching)} parameters and buffers of {detector}")


app.command("pretrain", epilog=epilog(pretrain.EXAMPLES))(pretrain.command)


def _check_output(output: Path, file: Path, force: bool) -> None:
    if output.suffix not in (".pt", ".pth"):
        raise RecipeError(f"--output {output}: the name ends in .pt, as in fcos.pt")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise RecipeError(f"--output {output}: name a file in a folder that is there")
    if output.exists() and output.resolve() == file.resolve():
        raise RecipeError(f"--output {output}: this is the file itself: name another")
    if output.exists() and not force:
        raise RecipeError(f"--output {output}: is there already: --force replaces it")


def _inventory_sheet(found: list[Weights]) -> Sheet:
    rows = [
        (
            one.name,
            one.origin,
            "yes" if one.here else "no",
            Entry(_shortened(one.detectors), list(one.detectors)),
            one.path if one.here else one.advice,
        )
        for one in found
    ]
    heads = columns(
        name="Weights",
        origin="From",
        here="Here",
        detectors="Default of",
        where="Where, or what to do",
    )
    note = "No run takes a default unasked: --set training.weights=default does, or a name or file."
    return plain(heads, rows, [note])


def _fit_sheet(file: Path, detector: str, found: Imported) -> Sheet:
    from detbench.training.importing import PARTS_OF

    rows = [
        (part, len(fit.matching), len(fit.missing), len(fit.unknown), len(fit.reshaped))
        for part, fit in found.parts.items()
    ]
    heads = columns(
        part=PARTS_OF,
        match=">Match",
        missing=">Missing in file",
        unknown=">Unknown to network",
        reshaped=">Other shape",
    )
    differ = (*found.differences, *found.remarks)
    said = [f"{found.origin}'s network differs: {each}" for each in differ]
    title = f"{file.name} ({found.origin}) as {detector} with {found.classes} classes"
    return plain(heads, rows, [*_named(found.fit), *said], title)


def _named(fit: Fit, most: int = 10) -> list[str]:
    """The keys that do not fit, as notes."""
    shapes = [f"{name} {_shape(a)} here, {_shape(b)} there" for name, a, b in fit.reshaped]
    lines = (
        ("missing in the file", fit.missing),
        ("unknown to the network", fit.unknown),
        ("of another shape", shapes),
    )
    notes = []
    for what, keys in lines:
        if keys:
            more = f" and {len(keys) - most} more (all: --format json)" if len(keys) > most else ""
            notes.append(f"{what}: {', '.join(keys[:most])}{more}")
    return notes or ["Everything fits."]


def _shortened(names: tuple[str, ...], most: int = 2) -> str:
    more = f" and {len(names) - most} more" if len(names) > most + 1 else ""
    return ", ".join(names[:most] if more else names) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
