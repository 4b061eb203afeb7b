"""``detbench data browse``: contact sheets of a data set with its ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common, single
from detbench.cli.common import argument, option, path_option
from detbench.errors import RecipeError

if TYPE_CHECKING:
    from detbench.recipe.experiment import Data, Learnt
    from detbench.report.pictures import Objects, Pixels

EXAMPLES = (
    "detbench data browse shapes --count 24",
    "detbench data browse coco --data-root /data --classes dog --out sheets",
    "detbench data browse coco:instances.json:images --split train --start 1000",
    "detbench data browse --profile smoke",
    "detbench data browse coco --augmented 3 --profile my-profile.toml",
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
    split: Annotated[
        Literal["train", "val"] | None,
        option("train|val", "Which images; by default val, with --augmented train."),
    ] = None,
    start: Annotated[int, option("N", "First image, from 0.", min=0)] = 0,
    count: Annotated[int, option("N", "How many images.", min=1)] = 24,
    columns: Annotated[int, typer.Option(help="Images in a row of a page.", min=1, max=8)] = 4,
    per_page: Annotated[int, typer.Option(help="Images on a page.", min=1)] = 12,
    classes: Annotated[
        str | None, option("NAME,NAME", "Only images with an object of one of these classes.")
    ] = None,
    out: Annotated[Path, path_option("DIR", "Folder of the pages.")] = Path("browse"),
    augmented: Annotated[
        int | None,
        option(
            "N",
            "Each image as the first N epochs train on it: scaled, augmented, flipped, with the "
            "boxes that are left (of --profile's training.input, by default paper's).",
            min=1,
        ),
    ] = None,
    profile: common.ProfileOption = None,
    set_: common.SetOption = None,
    data_root: common.DataRootOption = None,
) -> None:
    """Draw pages of a data set's images with their objects' boxes and class names.

    Crowds (on Pascal VOC difficult objects), which are not learnt from, are dashed and named so.
    Of training scenes that are drawn by seed, those of seed 0.
    Writes DATASET-SPLIT-001.png and so on (DATASET-SPLIT-augmented-001.png) to --out; prints their
    paths.
    """
    from detbench.data import load
    from detbench.report import drawing, pictures

    root, split = common.data_root(data_root), split or ("train" if augmented else "val")
    learnt = _learnt(dataset, profile, set_ or ())
    data = learnt.data
    single.require_data(data, root)
    opened = load(data, split, root)
    names = [category.name for category in opened.categories]
    truth = opened.ground_truth()
    chosen = _chosen(truth, names, classes, start, count, len(opened))
    images = _images(opened, truth, chosen, data)
    if augmented:
        images = _augmented(opened, learnt, chosen, augmented)
    shown_in_all = len(chosen) * (augmented or 1)
    pages, wide = -(-shown_in_all // per_page), min(columns, shown_in_all)
    for page in range(1, pages + 1):
        shown = list(islice(images, per_page))
        title = f"{_title(data, split)}{', augmented' * bool(augmented)}: page {page} of {pages}"
        path = out / f"{data.kind}-{split}{'-augmented' * bool(augmented)}-{page:03d}.png"
        drawing.save(path, pictures.sheet(shown, names, title, wide))
        common.write_line(str(path))


def _learnt(dataset: str | None, profile: str | None, overrides: Sequence[str]) -> Learnt:
    from detbench.recipe import load, resolve

    if dataset is not None:
        data = resolve.parse_dataset(dataset)
    elif profile is None:
        data = resolve.parse_dataset("shapes")
    elif (own := load.profile(profile).data) is not None:
        data = own
    else:
        raise RecipeError(f"--profile {profile} has no data set of its own: name one, as in coco")
    return resolve.learnt(profile or "paper", overrides, data)


def _title(data: Data, split: str) -> str:
    if split == "val":
        return data.val_split()
    name, parted, _ = data.val_split().partition(", val")
    of = name if parted else data.describe()  # else the name is the val split's
    return f"{of}, {split}" + (", seed 0" if data.by_seed else "")


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


def _augmented(
    opened: Any, learnt: Learnt, chosen: list[int], epochs: int
) -> Iterator[tuple[Pixels, Objects, str]]:
    """As ``_images``, of each image as each of the first epochs trains on it, with seed 0."""
    import numpy as np

    from detbench.cli.subjects import objects
    from detbench.data.loading import as_trained_on

    ids = [category.id for category in opened.categories]
    for index in chosen:
        for epoch in range(epochs):
            sample = as_trained_on(opened, learnt.training.input, index, epoch)
            pixels = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
            found: list[dict[str, Any]] = [
                {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": ids[label], "iscrowd": 0}
                for (x1, y1, x2, y2), label in zip(
                    sample.boxes.tolist(), sample.labels.tolist(), strict=True
                )
            ]
            name = f"{index}, epoch {epoch}" + ("" if found else " (no objects)")
            yield pixels, objects(found, ids, learnt.data), name
