"""Pascal VOC as a kind (Everingham et al. 2010); ``voc_xml`` reads its annotations. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from detbench.data.counting import of_voc_list
from detbench.data.kind import SPLITS, Entry, OnDisk, Split

if TYPE_CHECKING:
    from detbench.data.coco_check import Table

VocSplit = Annotated[str, Field(pattern=r"^\d{4}_\w+$")]


class Voc(OnDisk):
    """Pascal VOC on disk: ``<root>/VOCdevkit/VOC<year>/``, as the development kit unpacks.

    Attributes:
        train: lists of images to learn from, each ``<year>_<list>``, one after another.
        val: the list to evaluate on.
    """

    title: ClassVar[str] = "VOC"
    what: ClassVar[str] = "Pascal VOC 2007 and 2012 on disk"
    crowd: ClassVar[str] = "difficult"
    num_classes: ClassVar[int] = 20
    note: ClassVar[str] = (
        "Difficult objects are crowds in it; VOC's own AP is measured on voc only."
    )

    kind: Literal["voc"]
    train: Annotated[tuple[VocSplit, ...], Field(min_length=1)] = (
        "2007_trainval",
        "2012_trainval",
    )
    val: VocSplit = "2007_test"

    @property
    def protocol(self) -> str:
        return "detbench.evaluation.voc"

    def lists(self, split: Split) -> tuple[str, ...]:
        """The image lists of a split."""
        return self.train if split == "train" else (self.val,)

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        return root / "VOCdevkit", root / "VOCdevkit"

    def needed(self, split: Split, root: Path) -> Iterator[tuple[str, Path]]:
        for name in self.lists(split):
            folder, listed = self._list(name, root)
            yield "image list", listed
            for part in ("Annotations", "JPEGImages"):
                yield "folder", folder / part

    def _list(self, name: str, root: Path) -> tuple[Path, Path]:
        """The year's folder and the file of an image list."""
        year, _, listed = name.partition("_")
        folder = root / "VOCdevkit" / f"VOC{year}"
        return folder, folder / "ImageSets" / "Main" / f"{listed}.txt"

    def hashed(self, split: Split, root: Path) -> list[Path]:
        from detbench.data.voc_xml import listed

        found = []
        for name in self.lists(split):
            folder, file = self._list(name, root)
            found += [file, *(folder / "Annotations" / f"{one}.xml" for one in listed(file))]
        return found

    def public(self, split: Split) -> str | None:
        return f"voc {' '.join(self.lists(split))}"

    def table(self, split: Split, root: Path) -> Table:
        from detbench.data.voc_xml import read

        return read(self.where(split, root)[0], self.lists(split), self.rule)

    def sifted(self, split: Split, root: Path) -> tuple[Table | None, list[str]]:
        from detbench.data.voc_xml import sifted

        return sifted(self.where(split, root)[0], self.lists(split), self.rule)

    def advice(self, root: Path) -> str:
        years = dict.fromkeys(name[:4] for name in (*self.train, self.val))
        return (
            f"put Pascal VOC below {root / 'VOCdevkit'} "
            f"({', '.join(f'VOC{year}/' for year in years)}) "
            f"or name another folder by --data-root or DETBENCH_DATA"
        )

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        for split in SPLITS:
            for listed in self.lists(split):
                one = Voc(kind="voc", train=(listed,), val=listed)
                yield of_voc_list(name, split, one.why_missing(root), *self._list(listed, root))

    def val_split(self, limit: int | None = None) -> str:
        name = f"VOC {self.val}"
        return name if limit is None else f"{name}, first {limit}"

    def describe(self) -> str:
        return f"VOC {' + '.join(self.train)} / {self.val}"
