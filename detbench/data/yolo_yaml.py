"""``data.yaml`` of the YOLO folder layout, and the images that it names. No torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from detbench import inputs
from detbench.data.coco_check import one_line
from detbench.data.kind import SPLITS
from detbench.errors import DataError, visible

LARGEST = 1 << 20
"""Bytes of the largest ``data.yaml`` that is read."""
LARGEST_LIST = inputs.FREE
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
OTHERS = frozenset({".avif", ".dng", ".heic", ".heif", ".jp2", ".mpo", ".pfm", ".raw", ".svg"})
"""Endings of images that are not read."""

_KINDS = {bool: "true or false", dict: "a table", list: "a list", type(None): "nothing"}


@dataclass(frozen=True)
class Layout:
    """A ``data.yaml``.

    Attributes:
        file: itself.
        root: the folder that its places are relative to.
        names: of the classes, in order.
        places: folders and lists of images of each split, at least one; they may not be there.
    """

    file: Path
    root: Path
    names: list[str]
    places: dict[str, list[Path]]

    def name_of(self, image: Path) -> str:
        """An image's file name: relative to ``root``, absolute if it is not below that."""
        relative = image.is_relative_to(self.root)
        return (image.relative_to(self.root) if relative else image.absolute()).as_posix()

    def missing(self) -> str:
        """What is not there of its places, in words; else empty."""
        for split in SPLITS:
            for place in self.places[split]:
                if not (os.path.isfile(place) or os.path.isdir(place)):
                    what = inputs.why_no_file(place)
                    return f"{self.file}: '{split}' names {place}: {what or 'it cannot be read'}"
        return ""


@dataclass(frozen=True)
class Listed:
    """Images of a split, in the order of their names; what is wrong with others in ``faults``."""

    files: list[Path]
    faults: list[str]


def parse(file: Path, data_root: Path) -> Layout:
    """Read and check a ``data.yaml``; what it names need not be there.

    Raises:
        DataError: the first thing that is wrong, in one line.
    """
    content = _content(file)
    if not isinstance(content, dict):
        _fail(file, "holds no keys with values", "it has path, train, val and names")
    if content.get("kpt_shape") is not None:
        _fail(file, "is of key points (kpt_shape)", "boxes and polygons alone are read")
    names = _names(file, content)
    root = _root(file, content.get("path"), data_root)
    return Layout(
        file, root, names, {split: _places(file, root, content, split) for split in SPLITS}
    )


def listed_images(layout: Layout, split: str) -> Listed:
    """The images of a split, by their endings; they are not opened.

    Raises:
        DataError: a place is not there or cannot be read, or there is no image at all.
    """
    files: list[Path] = []
    faults: list[str] = []
    for place in layout.places[split]:
        try:
            if os.path.isdir(place):
                files += _inside(place)
            else:
                files += _of_list(layout, place)
        except OSError as error:
            raise DataError(
                f"{layout.file}: '{split}': {error.filename or place} cannot be read: "
                f"{error.strerror}"
            ) from None
    seen: set[Path] = set()
    for path in files:
        if path in seen:
            faults.append(f"image {path} occurs twice in '{split}' of {layout.file}; name it once")
        elif path.suffix.lower() in OTHERS:
            read = ", ".join(sorted(ENDINGS))
            faults.append(f"image {path} has an ending that is not read ({read} are); convert it")
        elif said := inputs.why_no_text(str(path)):
            faults.append(f"image {visible(str(path))} has a name with {said}; rename it")
            continue
        seen.add(path)
    known = sorted(path for path in seen if path.suffix.lower() in ENDINGS)
    if not known:
        where = ", ".join(map(str, layout.places[split]))
        raise DataError(f"{layout.file}: '{split}': there is no image in {where}")
    return Listed(known, faults)


def _content(file: Path) -> Any:
    import yaml

    try:
        if file.stat().st_size > LARGEST:
            _fail(file, f"has more than {LARGEST} bytes", "name a data.yaml")
        text = inputs.content(file)
        for key in _twice(yaml.compose(text, yaml.SafeLoader)):
            _fail(file, f"has {key!r:.60} twice", "leave either out")
        return yaml.safe_load(text)
    except FileNotFoundError:
        raise DataError(f"data file {file} is not there; mend the path in --dataset") from None
    except OSError as error:
        raise DataError(f"data file {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        _fail(file, f"is no YAML ({one_line(error)})", "mend it")


def _twice(node: Any) -> Iterator[str]:
    """Keys that a table has twice, of which YAML would take the last; of its tables, too."""
    if getattr(node, "id", "") != "mapping":
        return
    for table in (node, *(value for _, value in node.value)):
        pairs = table.value if table.id == "mapping" else []
        keys = Counter(key.value for key, _ in pairs if key.id == "scalar")
        yield from (key for key, count in keys.items() if count > 1)


def _names(file: Path, content: dict[Any, Any]) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        wanted = list(range(len(names)))
        if sorted(names, key=str) != sorted(wanted, key=str) or any(
            isinstance(key, bool) for key in names
        ):
            _fail(file, f"'names' has not the keys 0 to {len(names) - 1}", "number all classes")
        names = [names[key] for key in wanted]
    if not isinstance(names, list) or not names:
        _fail(file, "has no 'names'", "they are a list of the classes, or 0: first, 1: second, ...")
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if not isinstance(name, str) or not name:
            what = _KINDS.get(type(name)) or f"{name!s:.40}" or "empty"
            _fail(file, f"the name of class {place} is {what}, no text", "put it in quotes")
        if why := inputs.why_no_text(name):
            _fail(file, f"the name of class {place}, {name!r:.60}, has {why}", "mend it")
        if (before := places.setdefault(name, place)) != place:
            both = f"classes {before} and {place} are both called {name!r:.60}"
            _fail(file, both, "classes are told apart by their names: rename either")
    count = content.get("nc")
    if count is not None and count != len(names):
        said = count if isinstance(count, int) else "no number"
        _fail(file, f"'nc' is {said} and 'names' has {len(names)} classes", "mend either")
    return names


def _root(file: Path, path: Any, data_root: Path) -> Path:
    """The folder that places are relative to."""
    folder = file.absolute().parent
    if path is None or path == "":
        return folder
    if not isinstance(path, str) or "\0" in path:
        _fail(file, f"'path' is {_KINDS.get(type(path), 'no folder')}", "it is a folder")
    own = Path(os.path.normpath(folder / inputs.expanded(path)))
    below = Path(os.path.normpath(data_root.absolute() / path))
    return below if not os.path.isdir(own) and os.path.isdir(below) else own


def _places(file: Path, root: Path, content: dict[Any, Any], split: str) -> list[Path]:
    places = content.get(split)
    if places is None:
        advice = "name the folder of its images, or part one set by detbench data split"
        _fail(file, f"has no '{split}'", advice)
    places = places if isinstance(places, list) else [places]
    if not places or not all(isinstance(one, str) and one and "\0" not in one for one in places):
        _fail(file, f"'{split}' names no folders", "it is a folder of images, a list of them")
    return [_place(root, one) for one in places]


def _place(root: Path, name: str) -> Path:
    found = Path(os.path.normpath(root / inputs.expanded(name)))
    if not os.path.exists(found) and name.startswith("../"):
        within = Path(os.path.normpath(root / name.removeprefix("../")))
        return within if os.path.exists(within) else found
    return found


def _inside(folder: Path) -> Iterator[Path]:
    """The images below a folder; links to folders are followed, each folder once."""

    def stop(error: OSError) -> NoReturn:
        raise error

    visited: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        yield from (
            Path(place, name)
            for name in names
            if os.path.splitext(name)[1].lower() in ENDINGS | OTHERS and name[:2] != "._"
        )


def _of_list(layout: Layout, path: Path) -> Iterator[Path]:
    """The images that a list names, relative to its folder, or to the root if only there."""
    if path.stat().st_size > LARGEST_LIST:
        raise DataError(f"image list {path} has more than {LARGEST_LIST} bytes, which are read")
    try:
        lines = inputs.text(path, "utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"image list {path} is no text; restore the file") from None
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name:
            continue
        found = [Path(os.path.normpath(one / name)) for one in (path.parent, layout.root)]
        if found[0].suffix.lower() not in ENDINGS | OTHERS or "\0" in name:
            raise DataError(f"image list {path}: line {number}: {name[:60]!r} is no image's name")
        there = [os.path.exists(one) for one in found]  # no error over a name that is too long
        yield found[1] if there == [False, True] else found[0]


def _fail(file: Path, problem: str, advice: str) -> NoReturn:
    raise DataError(f"data file {file}: {problem}; {advice}")
