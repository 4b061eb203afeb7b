"""``detbench data``: data sets, found, checked, converted, parted, looked at."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import browse, common, single
from detbench.cli.common import argument, option, path_argument, switch
from detbench.cli.groups import epilog, group
from detbench.cli.progress_lines import progress_lines
from detbench.data import inventory
from detbench.data.inspect import Report, inspect
from detbench.data.kind import Entry as Counted
from detbench.errors import DataError
from detbench.report.table import Sheet, columns, plain

if TYPE_CHECKING:
    from detbench.data.convert import Written
    from detbench.recipe.experiment import Data

EXAMPLES = (
    "detbench data list --data-root /data",
    "detbench data check coco",
    "detbench data convert voc data/voc-coco",
    "detbench data split coco:all.json:images data/parted --fraction 0.2",
    "detbench data browse shapes --count 24",
)
LIST_EXAMPLES = ("detbench data list", "detbench data list --data-root /data --format json")
CHECK_EXAMPLES = (
    "detbench data check coco --data-root /data",
    "detbench data check voc --no-images",
    "detbench data check coco:train.json:images:val.json:images --format json",
    "detbench data check coco:amodal.json:images --set data.outside=clip",
)
CONVERT_EXAMPLES = (
    "detbench data convert voc data/voc-coco",
    "detbench data convert coco data/coco-tiny --limit 500 --copy-images",
    "detbench data convert coco data/people --classes person,dog --split val",
    "detbench data convert shapes data/shapes-128 --profile smoke",
    "detbench data convert yolo:fruit/data.yaml data/fruit-coco",
)
SPLIT_EXAMPLES = (
    "detbench data split coco:all.json:images data/parted",
    "detbench data split yolo:fruit/data.yaml data/fruit-parted --fraction 0.1 --seed 1",
    "detbench data split coco:frames.json:frames data/parted --group '(clip[0-9]+)_'",
)
SHOWN = 20
"""Problems of a split that are printed; json has all."""

DatasetArgument = Annotated[
    str,
    argument(
        "DATASET",
        "shapes, coco, voc, widerface, openimages, or your own as "
        "coco:ANNOTATIONS.json:IMAGES, then :VAL.json:IMAGES, or yolo:DATA.yaml.",
    ),
]

app = group("List, check, convert, part and browse data sets.", EXAMPLES)


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_(
    data_root: common.DataRootOption = None, format: common.FormatOption = "terminal"
) -> None:
    """List the data sets: which are found and where, how many images and objects, what is missing.

    Beside shapes, coco, voc, widerface and openimages, those below the data root in COCO's layout:
    NAME/annotations/ instances_train.json and instances_val.json with NAME/train/ and NAME/val/;
    and in YOLO's: NAME/data.yaml.
    """
    root = common.data_root(data_root)
    with progress_lines(f"counting what is in {root}"):
        found = list(inventory.take(root))
    payload = [vars(one) | {"found": one.found} for one in found]
    common.emit(_list_sheet(found, root), format, payload)


@app.command("check", epilog=epilog(CHECK_EXAMPLES))
def check(
    dataset: DatasetArgument,
    no_images: Annotated[
        bool, switch("--no-images", "Look whether the images are there, and do not decode them.")
    ] = False,
    set_: common.SetOption = None,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Read all annotations of DATASET and decode every image; name each that is damaged.

    Of COCO this takes some minutes a core, with --no-images half a minute. Exit code 1 if anything
    is wrong.
    """
    data, _ = single.settings(None, dataset, set_ or ())
    root = common.data_root(data_root)
    single.require_data(data, root)
    with progress_lines(f"checking {dataset}") as tell:
        reports = inspect(data, root, not no_images, tell)
    common.emit(_check_sheet(dataset, reports), format, [vars(one) for one in reports])
    if any(one.problems for one in reports):
        raise typer.Exit(1)


@app.command("convert", epilog=epilog(CONVERT_EXAMPLES))
def convert(
    dataset: DatasetArgument,
    out: Annotated[Path, path_argument("DIR", "Folder to write to.")],
    split: Annotated[Literal["train", "val", "both"], typer.Option(help="Which images.")] = "both",
    limit: Annotated[int | None, option("N", "Only the first N images of a split.", min=1)] = None,
    classes: Annotated[
        str | None, option("NAME,NAME", "Only objects of these classes, and images that have one.")
    ] = None,
    copy_images: Annotated[
        bool,
        switch("--copy-images", "Copy the images too; without it they are used where they are."),
    ] = False,
    profile: common.ProfileOption = None,
    set_: common.SetOption = None,
    force: Annotated[bool, switch("--force", "Replace annotation files that are there.")] = False,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Write DATASET, or a part of it, as COCO JSON: DIR/annotations/instances_train.json and _val.

    Scenes of shapes are drawn to DIR/train and DIR/val, of the size and number that --profile or
    --set data.* ask for; of training scenes that are drawn by seed, those of seed 0. What to give
    --dataset then is printed.
    """
    from detbench.data.convert import Choice
    from detbench.data.convert import convert as write

    if ":" in str(out):
        raise DataError(f"{out}: --dataset takes no ':' in a path: choose another folder")
    data, _ = single.settings(profile, dataset, set_ or ())
    root = common.data_root(data_root)
    if split == "both":
        single.require_data(data, root)
    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    splits: tuple[Any, ...] = ("train", "val") if split == "both" else (split,)
    choice = Choice(limit, names, copy_images, force)
    with progress_lines(f"writing {out}") as tell:
        written = write(data, root, out, splits, choice, tell)
    said = _argument(written)
    payload = {"dataset": said, "splits": [vars(one) for one in written]}
    common.emit(_convert_sheet(written, said, data), format, payload)


@app.command("split", epilog=epilog(SPLIT_EXAMPLES))
def split(
    dataset: DatasetArgument,
    out: Annotated[Path, path_argument("DIR", "Folder to write to.")],
    fraction: Annotated[float, option("SHARE", "Of the images for val; between 0 and 1.")] = 0.2,
    seed: Annotated[int, option("N", "Another seed parts otherwise.", min=0)] = 0,
    group: Annotated[
        str | None,
        option(
            "REGEX",
            "Images whose names have the same text in its parentheses stay together, as in "
            "'(clip[0-9]+)_' for frames.",
        ),
    ] = None,
    no_content: Annotated[
        bool, switch("--no-content", "Do not look for images of the same content.")
    ] = False,
    split: Annotated[Literal["train", "val"], option("train|val", "The split to part.")] = "train",
    set_: common.SetOption = None,
    force: Annotated[bool, switch("--force", "Replace annotation files that are there.")] = False,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Part the training images of DATASET into train and val that share none, as COCO JSON.

    One file, files of the same content, and those of one --group stay together; classes are shared
    out in proportion. Images stay where they are. What to give --dataset then is
    printed.
    """
    from detbench.data.split import Rule
    from detbench.data.split import split as part

    if ":" in str(out):
        raise DataError(f"{out}: --dataset takes no ':' in a path: choose another folder")
    if not 0 < fraction < 1:
        raise DataError(f"--fraction {fraction:g}: give a share between 0 and 1, as in 0.2")
    data, _ = single.settings(None, dataset, set_ or ())
    root = common.data_root(data_root)
    rule = Rule(fraction, seed, group, not no_content)
    with progress_lines(f"parting {dataset}"):
        done = part(data, root, split, out, rule, force)
    said = _argument(done.written)
    payload = {"dataset": said, "splits": [vars(one) for one in done.written]} | {
        name: getattr(done, name) for name in ("groups", "copies", "lacking")
    }
    sheet = _convert_sheet(done.written, said, data)
    images = sum(one.images for one in done.written)
    notes = [f"{images} images in {done.groups} groups that stay together."]
    if done.copies:
        notes.append(f"{done.copies} images have the content of another.")
    if done.lacking:
        notes.append(f"No image of these classes in: {', '.join(done.lacking)}.")
    common.emit(replace(sheet, notes=(*notes, *sheet.notes)), format, payload)


app.command("browse", epilog=epilog(browse.EXAMPLES))(browse.command)


def _list_sheet(found: list[Counted], root: Path) -> Sheet:
    rows = [
        (
            one.dataset if one.split == "train" or one.dataset.count(":") < 2 else "″",
            one.split,
            one.found,
            one.images,
            one.objects,
            one.where,
            one.missing,
        )
        for one in found
    ]
    heads = columns(
        dataset="Data set",
        split="Split",
        found="Found",
        images=">Images",
        objects=">Objects",
        where="Where",
        missing="Missing",
    )
    note = f"Data root: {root}; another by --data-root or $DETBENCH_DATA."
    return plain(heads, rows, [note, "The first column is what --dataset takes."])


def _check_sheet(dataset: str, reports: list[Report]) -> Sheet:
    rows = [
        (
            *(one.split, one.images, one.objects, one.crowds, one.empty, one.decoded),
            len(one.problems),
            one.source,
        )
        for one in reports
    ]
    heads = columns(
        split="Split",
        images=">Images",
        objects=">Objects",
        crowds=">Crowds",
        empty=">Empty",
        decoded=">Decoded",
        problems=">Problems",
        annotations="Annotations",
    )
    notes = [f"{one.split}: {said}" for one in reports for said in one.notes]
    sound = not any(one.problems for one in reports)
    for one in reports:
        notes += [f"{one.split}: {problem}" for problem in one.problems[:SHOWN]]
        if len(one.problems) > SHOWN:
            notes.append(f"{one.split}: and {len(one.problems) - SHOWN} more (all: --format json)")
    if not reports:
        notes = [f"{dataset}: drawn on demand, nothing to check."]
    elif sound:
        notes.append(f"{dataset} is sound.")
    return plain(heads, rows, notes)


def _argument(written: list[Written]) -> str:
    """What ``--dataset`` takes to use what was written."""
    parts = [str(part) for one in written for part in (one.annotations, one.folder)]
    return ":".join(["coco", *parts])


def _convert_sheet(written: list[Written], said: str, data: Data) -> Sheet:
    heads = columns(
        split="Split",
        images=">Images",
        objects=">Objects",
        annotations="Annotations",
        folder="Images in",
    )
    rows = [
        (one.split, one.images, one.objects, str(one.annotations), str(one.folder))
        for one in written
    ]
    notes = [f"Use it by --dataset {shlex.quote(said)}"]
    if data.by_seed:
        notes.append("The training scenes are those of seed 0.")
    return plain(heads, rows, [*notes, *([data.note] if data.note else [])])
