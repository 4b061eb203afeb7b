"""The YOLO folder layout as a kind; ``yolo_files`` reads it. No torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from detbench import inputs
from detbench.data.kind import SPLITS, Entry, OnDisk, Split
from detbench.errors import DataError

if TYPE_CHECKING:
    from detbench.data.coco_check import Table
    from detbench.data.yolo_yaml import Layout


class Yolo(OnDisk):
    """``data.yaml``, with ``images/`` and ``labels/`` where it says.

    The path is absolute or relative to the current directory; ``~`` is the home. It is no part of
    a digest, which the content of names and labels stands in for.

    Attributes:
        file: the ``data.yaml``, or the folder that it is in.
    """

    title: ClassVar[str] = "own data"
    prefix: ClassVar[str] = "yolo"
    takes: ClassVar[str] = "DATA.yaml"

    kind: Literal["yolo"]
    file: str

    @classmethod
    def of_argument(cls, words: str) -> Self | None:
        return cls(kind="yolo", file=words) if words else None

    @property
    def left_out(self) -> frozenset[str]:
        return frozenset({"file"}) if self.train_content and self.val_content else frozenset()

    @property
    def path(self) -> Path:
        """The ``data.yaml``."""
        given = inputs.expanded(self.file)
        return given / "data.yaml" if given.is_dir() else given

    def layout(self, root: Path) -> Layout:
        """What it says; raises ``DataError``."""
        from detbench.data.yolo_yaml import parse

        return parse(self.path, root)

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        return self.path, self.layout(root).root

    def why_missing(self, root: Path) -> str | None:
        try:
            return self.layout(root).missing() or None
        except DataError as error:
            return str(error)

    def overlap(self, root: Path) -> list[str]:
        from detbench.data import shared
        from detbench.data.yolo_yaml import listed_images

        layout, splits = self.layout(root), self.unlike(root)
        try:
            found = [map(str, listed_images(layout, split).files) for split, _ in splits]
        except DataError:  # reading it whole says it
            return []
        places = [shared.places(layout.root, files) for files in found]
        return shared.sentences(places, content=False)

    def hashed(self, split: Split, root: Path) -> list[Path]:
        from detbench.data.yolo_files import label_of
        from detbench.data.yolo_yaml import listed_images

        labels = map(label_of, listed_images(self.layout(root), split).files)
        return [path for path in labels if os.path.isfile(path)]

    def _content(self, split: Split, root: Path) -> str:
        """Of classes, names of images and labels; where they lie is no part of it."""
        from detbench.data import content
        from detbench.data.yolo_files import label_of
        from detbench.data.yolo_yaml import listed_images

        layout = self.layout(root)
        home = os.path.join(layout.root, "")
        files = listed_images(layout, split).files
        every = [(str(file), label_of(file)) for file in files]
        known = [(name, path, os.path.isfile(path)) for name, path in every]
        labels = [path for _, path, there in known if there]
        named = [
            (name[len(home) :] if name.startswith(home) else os.path.basename(name), there)
            for name, _, there in known
        ]
        held = content.of_files(labels) if labels else ""
        return hashlib.sha256(json.dumps([layout.names, named, held]).encode()).hexdigest()

    def table(self, split: Split, root: Path) -> Table:
        from detbench.data.yolo_files import read

        return read(self.layout(root), split, self.rule)

    def whole(self, split: Split, root: Path) -> Table:
        from detbench.data.yolo_files import read

        return read(self.layout(root), split, self.rule, masks=True)

    def sifted(self, split: Split, root: Path) -> tuple[Table | None, list[str]]:
        from detbench.data.yolo_files import sifted, strays

        layout = self.layout(root)
        table, faults = sifted(layout, split, self.rule)
        return table, faults if table is None else [*faults, *strays(layout, split)]

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        """As of others; polygons are its segmentations."""
        source, images = self.where(split, root)
        return self._read(split, root, masks=True).ground_truth(f"{source} {split}"), images

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        from detbench.data.counting import of_yolo

        for split in SPLITS:
            yield of_yolo(name, split, self.path, root)

    def val_split(self, limit: int | None = None) -> str:
        path = self.path
        name = f"{path.absolute().parent.name}/{path.name} val"
        return name if limit is None else f"{name}, first {limit}"

    def describe(self) -> str:
        return f"YOLO {self.file}"

    @property
    def argument(self) -> str:
        """What ``--dataset`` takes."""
        return f"yolo:{self.file}"
