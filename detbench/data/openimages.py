"""OpenImages as a kind (Kuznetsova et al. 2020); ``openimages_files`` reads it. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from detbench.data.kind import SPLITS, D, Entry, OnDisk, Split

if TYPE_CHECKING:
    from detbench.data import Dataset
    from detbench.data.coco_check import Table
    from detbench.data.openimages_files import Files

FILES = {
    "challenge-2019": (
        "challenge-2019-{split}-detection-bbox.csv",
        "challenge-2019-classes-description-500.csv",
        "challenge-2019-{split}-detection-human-imagelabels.csv",
        "challenge-2019-label500-hierarchy.json",
    ),
    "v5": (
        "{split}-annotations-bbox.csv",
        "class-descriptions-boxable.csv",
        "{split}-annotations-human-imagelabels-boxable.csv",
        "bbox_labels_600_hierarchy.json",
    ),
}
"""What the releases call boxes, classes, image-level labels and hierarchy."""

_NAMES = {"train": "train", "val": "validation"}


class OpenImages(OnDisk):
    """OpenImages on disk, in ``<root>/openimages/``: ``annotations/`` with the released files,
    ``train/`` and ``validation/`` with images, by themselves or in folders as they unpack.

    Attributes:
        release: whose files: the 2019 challenge's of 500 classes, or those of all classes that have
            boxes, as V5 (and V4, by the same names) or V6 calls them.
    """

    title: ClassVar[str] = "OpenImages"
    what: ClassVar[str] = "OpenImages on disk: the 2019 challenge's 500 classes"
    crowd: ClassVar[str] = "group-of"
    num_classes: ClassVar[int] = 500
    note: ClassVar[str] = (
        "Boxes of groups are crowds in it; OpenImages' own AP is measured on openimages only."
    )

    kind: Literal["openimages"]
    release: Literal["challenge-2019", "v5", "v6"] = "challenge-2019"

    @property
    def protocol(self) -> str:
        return "detbench.evaluation.openimages"

    def files(self, split: Split, root: Path) -> Files:
        """What is read of a split. Of train, no image-level labels: nothing learns from them."""
        from detbench.data.openimages_files import Files

        home = root / "openimages"
        names = FILES["v5" if self.release == "v6" else self.release]
        boxes, classes, labels, hierarchy = (
            home / "annotations" / name.format(split=_NAMES[split]) for name in names
        )
        if (self.release, split) == ("v6", "train"):
            boxes = boxes.with_name(f"oidv6-{boxes.name}")
        images = home / _NAMES[split]
        if split == "train":
            return Files(boxes, classes, images)
        return Files(boxes, classes, images, labels, hierarchy)

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        files = self.files(split, root)
        return files.boxes, files.images

    def needed(self, split: Split, root: Path) -> Iterator[tuple[str, Path]]:
        files = self.files(split, root)
        yield from (("annotation file", path) for path in files.annotations)
        yield "image folder", files.images

    def hashed(self, split: Split, root: Path) -> list[Path]:
        return self.files(split, root).annotations

    def public(self, split: Split) -> str | None:
        return f"openimages {self.release} {split}"

    def table(self, split: Split, root: Path) -> Table:
        from detbench.data.openimages_files import read

        return read(self.files(split, root), self.rule)

    def sifted(self, split: Split, root: Path) -> tuple[Table | None, list[str]]:
        from detbench.data.openimages_files import sifted

        return sifted(self.files(split, root), self.rule)

    def check_images(self, split: Split, root: Path, table: Table) -> None:
        from detbench.data.openimages_files import require

        require(table, self.files(split, root))

    def _read(self, split: Split, root: Path, masks: bool = False) -> Table:
        """As of others; without its images no box has a place in pixels."""
        from detbench.data.openimages_files import require

        return require(super()._read(split, root, masks), self.files(split, root))

    def open(self, split: Split, root: Path, seed: int = 0, masks: bool = False) -> Dataset:
        from detbench.data.dataset import CocoDataset

        return CocoDataset(*self.where(split, root), self._read(split, root, masks), found=True)

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        """As of others; of a limit, what is beyond it is no dictionary at any time."""
        source, images = self.where(split, root)
        table = self._read(split, root)
        table = table if limit is None else table.first(limit)
        return table.ground_truth(f"{source} {split}"), images

    def advice(self, root: Path) -> str:
        return (
            f"put OpenImages below {root / 'openimages'} (annotations/, train/, validation/) "
            f"or name another folder by --data-root or DETBENCH_DATA"
        )

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        from detbench.data.counting import of_open_images

        for split in SPLITS:
            yield of_open_images(name, split, self.files(split, root))

    def standing_in(self, drawn: D) -> D:
        return drawn.model_copy(update={"classes": 15})

    def categories(self, root: Path) -> list[tuple[int, str]]:
        """Of the file of classes alone."""
        from detbench.data.openimages_csv import class_names
        from detbench.errors import DataError

        if missing := self.why_missing(root):
            raise DataError(f"data: {missing}")
        return list(enumerate(class_names(self.files("val", root).classes).values(), 1))

    def val_split(self, limit: int | None = None) -> str:
        name = f"OpenImages {self.release} validation"
        return name if limit is None else f"{name}, first {limit}"

    def describe(self) -> str:
        return f"OpenImages {self.release} train / validation"
