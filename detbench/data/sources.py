"""Where a data set lies, whether it is there, and what to call it. No torch.

A run asks ``why_missing`` before it starts, to choose its profile; reports take ``label`` into the
protocol of every number.
"""

from __future__ import annotations

from pathlib import Path

from detbench.data import Split
from detbench.recipe.experiment import Coco, CocoJson, Data, Shapes, Voc


def pair(data: Coco | CocoJson, split: Split, root: Path) -> tuple[Path, Path]:
    """The annotation file and the image folder of a split.

    Args:
        data: COCO below ``root``, or a COCO-JSON pair whose paths are absolute or relative to the
            current directory (``~`` is the home). Without a val pair the train pair serves both.
    """
    if isinstance(data, Coco):
        name = data.train if split == "train" else data.val
        folder = root / "coco"
        return folder / "annotations" / f"instances_{name}.json", folder / name
    annotations, images = data.annotations, data.images
    if split == "val":
        annotations = data.val_annotations or annotations
        images = data.val_images or images
    return Path(annotations).expanduser(), Path(images).expanduser()


def devkit(root: Path) -> Path:
    """The folder of Pascal VOC, which holds ``VOC2007`` and ``VOC2012``."""
    return root / "VOCdevkit"


def lists(data: Voc, split: Split) -> tuple[str, ...]:
    """The image lists of a split, each ``<year>_<list>``."""
    return data.train if split == "train" else (data.val,)


def why_missing(data: Data, root: Path) -> str | None:
    """Why a data set cannot be used, in one line, or none if its files are there.

    Looks for both splits' annotation files and image folders; reads none of them.
    """
    if isinstance(data, Shapes):
        return None
    if isinstance(data, Voc):
        return _why_voc_missing(data, root)
    splits: tuple[Split, Split] = ("train", "val")
    for split in splits:
        file, images = pair(data, split, root)
        if not file.is_file():
            return _advise(f"annotation file {file} is not there", data, root)
        if not images.is_dir():
            return _advise(f"image folder {images} is not there", data, root)
    return None


def _why_voc_missing(data: Voc, root: Path) -> str | None:
    for name in dict.fromkeys((*data.train, data.val)):
        year, _, images = name.partition("_")
        folder = devkit(root) / f"VOC{year}"
        listed = folder / "ImageSets" / "Main" / f"{images}.txt"
        if not listed.is_file():
            return _advise(f"image list {listed} is not there", data, root)
        for part in ("Annotations", "JPEGImages"):
            if not (folder / part).is_dir():
                return _advise(f"folder {folder / part} is not there", data, root)
    return None


def check(data: Data, root: Path) -> None:
    """Check both splits of a data set as far as possible without opening an image.

    Annotation files are read whole, so COCO takes a while.

    Raises:
        DataError: the first thing that is wrong, in one line.
    """
    if isinstance(data, Shapes):
        return
    from detbench.data.coco_check import check_files, read

    splits: tuple[Split, Split] = ("train", "val")
    if isinstance(data, Voc):
        from detbench.data import voc

        folder = devkit(root)
        for split in splits:
            check_files(folder, voc.read(folder, lists(data, split)).file_names, folder)
        return
    for file, images in dict.fromkeys(pair(data, split, root) for split in splits):
        check_files(images, read(file).file_names, file)


def _advise(problem: str, data: Coco | CocoJson | Voc, root: Path) -> str:
    if isinstance(data, Coco):
        return (
            f"{problem}; put COCO below {root / 'coco'} (annotations/, {data.train}/, {data.val}/) "
            f"or name another folder by --data-root or DETBENCH_DATA"
        )
    if isinstance(data, Voc):
        years = dict.fromkeys(name[:4] for name in (*data.train, data.val))
        return (
            f"{problem}; put Pascal VOC below {devkit(root)} "
            f"({', '.join(f'VOC{year}/' for year in years)}) "
            f"or name another folder by --data-root or DETBENCH_DATA"
        )
    return f"{problem}; mend the path in the recipe or in --dataset"


def seen_in_training(data: Data) -> str | None:
    """A warning where what is evaluated on is what was learnt from, or none."""
    if not isinstance(data, CocoJson) or data.val_annotations not in (None, data.annotations):
        return None
    return (
        f"evaluated on the training images: {Path(data.annotations).name} comes without a pair to "
        "evaluate on, as --dataset coco:TRAIN.json:IMAGES:VAL.json:IMAGES gives one"
    )


def label(data: Data, limit: int | None = None) -> str:
    """The name of a data set's val split in a protocol, as in "shapes easy 128 px, val 250".

    It says where seeds were trained on scenes of their own; else it is ``val_split``.

    Args:
        limit: only the first this many images are used.
    """
    by_seed = isinstance(data, Shapes) and data.scenes == "by-seed"
    return val_split(data, limit) + (", training scenes drawn by seed" if by_seed else "")


def val_split(data: Data, limit: int | None = None) -> str:
    """The name of a data set's val split itself, whatever was trained on; see ``label``."""
    if isinstance(data, Shapes):
        count = data.val if limit is None else min(limit, data.val)
        return f"shapes {data.variant} {data.size} px, val {count}"
    if isinstance(data, Coco):
        name = f"COCO {data.val}"
    elif isinstance(data, Voc):
        name = f"VOC {data.val}"
    else:
        name = Path(data.val_annotations or data.annotations).name
    return name if limit is None else f"{name}, first {limit}"
