"""``detbench data``: data sets, found, checked, converted, looked at."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import browse, common
from detbench.cli.groups import epilog, group
from detbench.errors import DataError

if TYPE_CHECKING:
    from detbench.data.convert import Written
    from detbench.data.inspect import Report
    from detbench.data.kind import Entry as Counted
    from detbench.recipe.experiment import Data
    from detbench.report.table import Sheet

EXAMPLES = (
    "detbench data list --data-root /data",
    "detbench data check coco",
    "detbench data convert voc data/voc-coco",
    "detbench data browse shapes --count 24",
)
LIST_EXAMPLES = ("detbench data list", "detbench data list --data-root /data --format json")
CHECK_EXAMPLES = (
    "detbench data check coco --data-root /data",
    "detbench data check voc --no-images",
    "detbench data check coco:train.json:images:val.json:images --format json",
)
CONVERT_EXAMPLES = (
    "detbench data convert voc data/voc-coco",
    "detbench data convert coco data/coco-tiny --limit 500 --copy-images",
    "detbench data convert coco data/people --classes person,dog --split val",
    "detbench data convert shapes data/shapes-128 --profile smoke",
)
SHOWN = 20
"""Problems of a split that are printed; json has all."""

DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="shapes, coco, voc, widerface, or your own as coco:ANNOTATIONS.json:IMAGES, then "
        ":VAL.json:IMAGES.",
        show_default=False,
    ),
]

app = group("List, check, convert and browse data sets.", EXAMPLES)


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_(
    data_root: common.DataRootOption = None, format: common.FormatOption = "terminal"
) -> None:
    """List the data sets: which are found and where, how many images and objects, what is missing.

    Beside shapes, coco, voc and widerface, those below the data root in COCO's layout:
    NAME/annotations/ instances_train.json and instances_val.json with NAME/train/ and NAME/val/.
    """
    from detbench.cli.progress_lines import progress_lines
    from detbench.data import inventory

    root = common.data_root(data_root)
    with progress_lines(f"counting what is in {root}"):
        found = list(inventory.take(root))
    payload = [{**vars(one), "found": one.found} for one in found]
    common.emit(_list_sheet(found, root), format, payload)


@app.command("check", epilog=epilog(CHECK_EXAMPLES))
def check(
    dataset: DatasetArgument,
    no_images: Annotated[
        bool,
        typer.Option(
            "--no-images", help="Look whether the images are there, and do not decode them."
        ),
    ] = False,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Read all annotations of DATASET and decode every image; name each that is damaged.

    Of COCO this takes some minutes a core, with --no-images half a minute. Exit code 1 if anything
    is wrong.
    """
    from detbench.cli import single
    from detbench.cli.progress_lines import progress_lines
    from detbench.data.inspect import inspect
    from detbench.recipe import resolve

    data, root = resolve.parse_dataset(dataset), common.data_root(data_root)
    single.require_data(data, root)
    with progress_lines(f"checking {dataset}") as tell:
        reports = inspect(data, root, not no_images, tell)
    payload = [vars(one) for one in reports]
    common.emit(_check_sheet(dataset, reports), format, payload)
    if any(one.problems for one in reports):
        raise typer.Exit(1)


@app.command("convert", epilog=epilog(CONVERT_EXAMPLES))
def convert(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")],
    split: Annotated[
        Literal["train", "val", "both"], typer.Option("--split", help="Which images.")
    ] = "both",
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help="Only the first N images of a split.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="NAME,NAME",
            help="Only objects of these classes, and images that have one.",
            show_default=False,
        ),
    ] = None,
    copy_images: Annotated[
        bool,
        typer.Option(
            "--copy-images", help="Copy the images too; without it they are used where they are."
        ),
    ] = False,
    profile: common.ProfileOption = None,
    set_: common.SetOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace annotation files that are there.")
    ] = False,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Write DATASET, or a part of it, as COCO JSON: DIR/annotations/instances_train.json and _val.

    Scenes of shapes are drawn to DIR/train and DIR/val, of the size and number that --profile or
    --set data.* ask for; of training scenes that are drawn by seed, those of seed 0. What to give
    --dataset then is printed.
    """
    from detbench.cli import single
    from detbench.cli.progress_lines import progress_lines
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
    common.emit(_convert_sheet(written, said, data), format, _convert_payload(written, said))


app.command("browse", epilog=epilog(browse.EXAMPLES))(browse.command)


def _list_sheet(found: list[Counted], root: Path) -> Sheet:
    from detbench.report.table import Column, Entry, Sheet, text

    def count(value: int | None) -> Entry:
        return Entry("" if value is None else str(value), value)

    rows = tuple(
        (
            text(one.dataset if one.split == "train" or one.dataset.count(":") < 2 else "″"),
            text(one.split),
            text(
                "no" if one.missing and one.images is None else "in part" if one.missing else "yes"
            ),
            count(one.images),
            count(one.objects),
            text(one.where),
            text(one.missing),
        )
        for one in found
    )
    titles = ("Data set", "Split", "Found", "Images", "Objects", "Where", "Missing")
    keys = ("dataset", "split", "found", "images", "objects", "where", "missing")
    columns = tuple(
        Column(key, title, right=key in ("images", "objects"))
        for key, title in zip(keys, titles, strict=True)
    )
    note = f"Data root: {root}; another by --data-root or $DETBENCH_DATA."
    return Sheet("", columns, rows, (note, "The first column is what --dataset takes."))


def _check_sheet(dataset: str, reports: list[Report]) -> Sheet:
    from detbench.report.table import Column, Entry, Sheet, text

    def count(value: int | None) -> Entry:
        return Entry("" if value is None else str(value), value)

    rows = tuple(
        (
            text(one.split),
            *(count(value) for value in (one.images, one.objects, one.crowds, one.empty)),
            count(one.decoded),
            count(len(one.problems)),
            text(one.source),
        )
        for one in reports
    )
    titles = ("Split", "Images", "Objects", "Crowds", "Empty", "Decoded", "Problems", "Annotations")
    columns = tuple(Column(one.lower(), one, right=one not in titles[::7]) for one in titles)
    notes = []
    for one in reports:
        notes += [f"{one.split}: {problem}" for problem in one.problems[:SHOWN]]
        if len(one.problems) > SHOWN:
            notes.append(f"{one.split}: and {len(one.problems) - SHOWN} more (all: --format json)")
    if not reports:
        notes = [f"{dataset}: drawn on demand, nothing to check."]
    return Sheet("", columns, rows, tuple(notes) or (f"{dataset} is sound.",))


def _argument(written: list[Written]) -> str:
    """What ``--dataset`` takes to use what was written."""
    parts = [str(part) for one in written for part in (one.annotations, one.folder)]
    return ":".join(["coco", *parts])


def _convert_payload(written: list[Written], said: str) -> dict[str, Any]:
    splits = [
        {**vars(one), "annotations": str(one.annotations), "folder": str(one.folder)}
        for one in written
    ]
    return {"dataset": said, "splits": splits}


def _convert_sheet(written: list[Written], said: str, data: Data) -> Sheet:
    from detbench.report.table import Column, Entry, Sheet, text

    rows = tuple(
        (
            text(one.split),
            Entry(str(one.images), one.images),
            Entry(str(one.objects), one.objects),
            text(str(one.annotations)),
            text(str(one.folder)),
        )
        for one in written
    )
    columns = (
        Column("split", "Split"),
        Column("images", "Images", right=True),
        Column("objects", "Objects", right=True),
        Column("annotations", "Annotations"),
        Column("folder", "Images in"),
    )
    notes = [f"Use it by --dataset {shlex.quote(said)}"]
    if data.by_seed:
        notes.append("The training scenes are those of seed 0.")
    if data.note:
        notes.append(data.note)
    return Sheet("", columns, rows, tuple(notes))
