"""``detbench data browse``: contact sheets of a data set with its ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common, single
from detbench.cli.common import argument, option
from detbench.errors import RecipeError

if TYPE_CHECKING:
    from detbench.recipe.experiment import Data
    from detbench.report.pictures import Objects, Pixels

EXAMPLES = (
    "detbench data browse shapes --count 24",
    "detbench data browse coco --data-root /data --classes dog --out sheets",
    "detbench data browse coco:instances.json:images --split train --start 1000",
    "detbench data browse --profile smoke",
)


def command(
    dataset: Annotated[
        str | None,
        argument(
            "[DATASET]",
            "shapes, coco, voc, widerface, openimages, or your own as "
            "coco:ANNOTATIONS.json:IMAGES or yolo:DATA.yaml; by default that of --profile, else "
            "shapes.",
        ),
    ] = None,
    split: Annotated[Literal["train", "val"], typer.Option(help="Which images.")] = "val",
    start: Annotated[int, option("N", "First image, from 0.", min=0)] = 0,
    count: Annotated[int, option("N", "How many images.", min=1)] = 24,
    columns: Annotated[int, typer.Option(help="Images in a row of a page.", min=1, max=8)] = 4,
    per_page: Annotated[int, typer.Option(help="Images on a page.", min=1)] = 12,
    classes: Annotated[
        str | None, option("NAME,NAME", "Only images with an object of one of these classes.")
    ] = None,
    out: Annotated[Path, option("DIR", "Folder of the pages.")] = Path("browse"),
    profile: common.ProfileOption = None,
    data_root: common.DataRootOption = None,
) -> None:
    """Draw pages of a data set's images with their objects' boxes and class names.

    Crowds (on Pascal VOC difficult objects), which are not learnt from, are dashed and named so.
    Of training scenes that are drawn by seed, those of seed 0.
    Writes DATASET-SPLIT-001.png and so on to --out; prints their paths.
    """
    from detbench.data import load
    from detbench.report import drawing, pictures

    root = common.data_root(data_root)
    data = _data(dataset, profile)
    single.require_data(data, root)
    opened = load(data, split, root)
    names = [category.name for category in opened.categories]
    truth = opened.ground_truth()
    chosen = _chosen(truth, names, classes, start, count, len(opened))
    images = _images(opened, truth, chosen, data)
    pages = -(-len(chosen) // per_page)
    for page in range(1, pages + 1):
        shown = list(islice(images, per_page))
        title = f"{_title(data, split)}: page {page} of {pages}"
        path = out / f"{data.kind}-{split}-{page:03d}.png"
        drawing.save(path, pictures.sheet(shown, names, title, min(columns, len(chosen))))
        common.write_line(str(path))


def _data(dataset: str | None, profile: str | None) -> Data:
    from detbench.recipe import load, resolve

    if dataset is not None:
        return resolve.parse_dataset(dataset)
    data = load.profile(profile).data if profile else None
    if profile and data is None:
        raise RecipeError(f"--profile {profile} has no data set of its own: name one, as in coco")
    return data or resolve.parse_dataset("shapes")


def _title(data: Data, split: str) -> str:
    if split == "val":
        return data.val_split()
    return data.val_split().split(", val")[0] + f", {split}" + (", seed 0" if data.by_seed else "")


def _chosen(
    truth: dict[str, Any], names: list[str], classes: str | None, start: int, count: int, whole: int
) -> list[int]:
    """Indices of the images to draw, at least one.

    Raises:
        RecipeError: an unknown class, or no image is left.
    """
    wanted = range(whole)
    if classes is not None:
        asked = [name.strip() for name in classes.split(",")]
        unknown = [name for name in asked if name not in names]
        if unknown:
            known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise RecipeError(f"--classes: no class '{unknown[0]}' (classes: {known})")
        ids = {one["id"] for one in truth["categories"] if one["name"] in asked}
        having = {item["image_id"] for item in truth["annotations"] if item["category_id"] in ids}
        images = enumerate(truth["images"])
        chosen = [index for index, image in images if image["id"] in having][start:]
    else:
        chosen = list(wanted[start:])
    if not chosen:
        what = "images" if classes is None else f"images with {classes}"
        raise RecipeError(f"--start {start}: no {what} from there on")
    return chosen[:count]


def _images(
    opened: Any, truth: dict[str, Any], chosen: list[int], data: Data
) -> Iterator[tuple[Pixels, Objects, str]]:
    """The images as ``pictures.sheet`` takes them, read as they are asked for."""
    import numpy as np

    from detbench.cli.subjects import by_image, objects

    annotations = by_image(truth)
    ids = [category.id for category in opened.categories]
    for index in chosen:
        sample = opened.sample(index)
        image = truth["images"][index]
        pixels = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
        found = annotations.get(image["id"], [])
        # Scenes of shapes are no files.
        name = str(index) if data.drawn else f"{index}: {Path(image['file_name']).name}"
        name += "" if found else " (no objects)"
        yield pixels, objects(found, ids, data), name
