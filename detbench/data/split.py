"""Parting one set of images into two that share none. No torch.

Images that are one file, that have the same content, or the same key in their names (frames of a
video) stay together. Groups are given out one after another, large ones first, otherwise in a
random order, each to the side that keeps val's share of the images of every class, of those without
an object and of all, nearest to what is asked for (the sum of squared surpluses).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.data import shared
from detbench.data.coco_check import check_files
from detbench.data.columns import distinct
from detbench.data.convert import Written, as_json, write_file
from detbench.data.draws import permutation
from detbench.data.kind import SPLITS, Split
from detbench.data.kinds import Data
from detbench.errors import DataError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
_SPLIT = 5  # part of the key of random draws
_ALL = 2.0  # how much the share of all images counts beside that of one class


@dataclass(frozen=True)
class Rule:
    """How to part a set.

    Attributes:
        fraction: of the images that are to be val's, in (0, 1).
        seed: of the order in which images are taken.
        group: a regular expression; images whose names have the same text in its parentheses, or
            in all of it where it has none, stay together. None: each by itself.
        content: images of the same content stay together, which has to read some.
    """

    fraction: float = 0.2
    seed: int = 0
    group: str | None = None
    content: bool = True


@dataclass(frozen=True)
class Parted:
    """What was done.

    Attributes:
        groups: sets of images that stayed together, single ones included.
        copies: images that have the content of another.
        lacking: classes of which val, or train, has no image, as "plum (val)".
    """

    written: list[Written]
    groups: int
    copies: int
    lacking: list[str]


def split(data: Data, root: Path, which: Split, out: Path, rule: Rule, force: bool) -> Parted:
    """Write a split of ``data`` as ``out/annotations/instances_{train,val}.json``; images stay
    where they are.

    Raises:
        DataError: the data set is missing or damaged, a name has no key, nothing is left for either
            side, a file is there already without ``force``, or the folder cannot be written.
    """
    if data.drawn:
        raise DataError(
            f"data: {data.kind} is drawn, train and val apart: there is nothing to part"
        )
    targets = {one: out / "annotations" / f"instances_{one}.json" for one in SPLITS}
    for path in targets.values():
        if path.exists() and not force:
            raise DataError(f"{path} is there already: choose another folder, or --force")
    content, folder = data.part(which, root, None)
    assert folder is not None
    images = content["images"] = sorted(content["images"], key=lambda image: image["id"])
    names = [image["file_name"] for image in images]
    check_files(folder, names, folder)
    copies, together = _together(folder, names, rule)
    rows, labels, classes = _objects(content)
    chosen = choose(together, rows, labels, rule.fraction, rule.seed)
    val = chosen[together]
    if val.all() or not val.any():
        raise DataError(
            f"data: {len(names)} images in {len(chosen)} groups cannot be parted at "
            f"{rule.fraction:g}: nothing would be left for {'train' if val.all() else 'val'}"
        )
    about = {"of": which, "fraction": rule.fraction, "seed": rule.seed, "group": rule.group}
    written = []
    for name, path in targets.items():
        part = _part(content, val if name == "val" else ~val, {**about, "split": name})
        _write(path, part)
        counts = len(part["images"]), len(part["annotations"])
        written.append(Written(name, path, folder, *counts))
    return Parted(written, len(chosen), copies, _lacking(val, rows, labels, classes))


def choose(together: Ints, rows: Ints, labels: Ints, fraction: float, seed: int) -> Flags:
    """Which groups are val's, (g,): a pure function of its arguments.

    Args:
        together: (m,), the group of each image, 0 to g - 1.
        rows, labels: (n,), image and class of each object; n may be 0.
    """
    from scipy.sparse import coo_array

    classes = int(labels.max(initial=-1)) + 1
    having = distinct(rows * (classes + 1) + labels)
    image, label = np.divmod(having, classes + 1)
    every = np.arange(len(together))
    empty = np.setdiff1d(every, image)
    # Two more columns: images without an object, and all images.
    image = np.concatenate((image, empty, every))
    label = np.concatenate((label, np.full(len(empty), classes), np.full(len(every), classes + 1)))
    shape = (int(together.max()) + 1, classes + 2)
    counts = coo_array((np.ones(len(image)), (together[image], label)), shape=shape).tocsr()
    weight = np.append(np.ones(classes + 1), _ALL)
    surplus = np.zeros(classes + 2)  # of val, over the share of what has been given out
    val = np.zeros(shape[0], np.bool_)
    order = permutation(shape[0], seed, _SPLIT)
    for group in order[np.argsort(-np.bincount(together)[order], kind="stable")].tolist():
        own = slice(counts.indptr[group], counts.indptr[group + 1])
        columns, more = counts.indices[own], counts.data[own]
        left = surplus[columns] - fraction * more
        val[group] = (weight[columns] * more * (2 * left + more)).sum() < 0
        surplus[columns] = left + more * val[group]
    return val


def _together(folder: Path, names: Sequence[str], rule: Rule) -> tuple[int, Ints]:
    """How many images are copies of others, and the group of each image, (m,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = shared.places(folder, names)
    pairs = list(_pairs(_alike(places)))
    if rule.group is not None:
        pairs += _pairs(_alike(_keys(names, rule.group)))
    same = shared.copies(places) if rule.content else []
    pairs += _pairs(same)
    ends = np.array(pairs, np.int64).reshape(-1, 2).T
    shape = (len(names), len(names))
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=shape)
    _, found = connected_components(graph, directed=False)
    return sum(len(group) - 1 for group in same), found.astype(np.int64)


def _keys(names: Sequence[str], group: str) -> list[object]:
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(f"--group '{group}': no regular expression: {error}") from None
    found = [pattern.search(name) for name in names]
    if missed := [name for name, one in zip(names, found, strict=True) if one is None]:
        raise DataError(
            f"--group '{group}': {len(missed)} of {len(names)} names of images do not have it, for "
            f"example {missed[0]}"
        )
    return [one.groups() or one.group() for one in found if one is not None]


def _alike(keys: Iterable[object]) -> Iterable[list[int]]:
    """Positions of each key."""
    found: dict[object, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return found.values()


def _pairs(groups: Iterable[list[int]]) -> Iterable[tuple[int, int]]:
    return ((group[0], row) for group in groups for row in group[1:])


def _objects(content: dict[str, Any]) -> tuple[Ints, Ints, list[str]]:
    """Image and class of each object, by position, (n,) each; and the names of the classes."""
    places = {image["id"]: row for row, image in enumerate(content["images"])}
    known = {one["id"]: row for row, one in enumerate(content["categories"])}
    rows = [places[one["image_id"]] for one in content["annotations"]]
    labels = [known[one["category_id"]] for one in content["annotations"]]
    names = [one["name"] for one in content["categories"]]
    return np.array(rows, np.int64), np.array(labels, np.int64), names


def _lacking(val: Flags, rows: Ints, labels: Ints, classes: list[str]) -> list[str]:
    found = []
    for label in np.unique(labels).tolist():
        sides = val[rows[labels == label]]
        if sides.all() or not sides.any():
            found.append(f"{classes[label]} ({'train' if sides.all() else 'val'})")
    return found


def _part(content: dict[str, Any], kept: Flags, about: dict[str, Any]) -> dict[str, Any]:
    images = [one for one, keep in zip(content["images"], kept.tolist(), strict=True) if keep]
    ids = {one["id"] for one in images}
    annotations = [one for one in content["annotations"] if one["image_id"] in ids]
    info = content.get("info")
    info = {**(info if isinstance(info, dict) else {}), "detbench_split": about}
    return {**content, "info": info, "images": images, "annotations": annotations}


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        write_file(path, as_json(content))
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: cannot be written ({error.strerror or error}): "
            "choose another folder"
        ) from error
