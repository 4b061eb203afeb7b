"""Any data set in COCO's JSON as a kind. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from detbench import inputs
from detbench.data.counting import of_json
from detbench.data.kind import SPLITS, Entry, OnDisk, Split

if TYPE_CHECKING:
    from detbench.data.coco_check import Table


class InJson(OnDisk):
    """What is common to data sets whose annotations are one file of COCO's JSON a split."""

    def table(self, split: Split, root: Path) -> Table:
        from detbench.data.coco_check import read

        return read(self.where(split, root)[0], rule=self.rule)

    def whole(self, split: Split, root: Path) -> Table:
        from detbench.data.coco_check import read

        return read(self.where(split, root)[0], masks=True, rule=self.rule)

    def sifted(self, split: Split, root: Path) -> tuple[Table | None, list[str]]:
        from detbench.data.sift import sifted

        return sifted(self.where(split, root)[0], self.rule)

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        # Converting keeps what is in the file beside boxes.
        from detbench.data.coco_check import check, parsed

        file, images = self.where(split, root)
        content = parsed(file)
        table = check(content, file, rule=self.rule)
        return (table.as_edited(content) if table.edited.any else content), images

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        for split in SPLITS:
            yield of_json(name, split, *self.where(split, root))


class CocoJson(InJson):
    """Any data set in COCO's JSON; without a val pair the train pair serves for both.

    Paths are absolute or relative to the current directory; ``~`` is the home. They are no part of
    a digest, which the content of the files stands in for.
    """

    title: ClassVar[str] = "own data"
    prefix: ClassVar[str] = "coco"
    takes: ClassVar[str] = "ANNOTATIONS.json:IMAGES[:VAL.json:IMAGES]"
    paths: ClassVar[frozenset[str]] = frozenset(
        {"annotations", "images", "val_annotations", "val_images"}
    )

    kind: Literal["coco-json"]
    annotations: str
    images: str
    val_annotations: str | None = None
    val_images: str | None = None

    @classmethod
    def of_argument(cls, words: str) -> Self | None:
        parts = words.split(":")
        if len(parts) not in (2, 4) or not all(parts):
            return None
        names = ("annotations", "images", "val_annotations", "val_images")
        return cls.model_validate({"kind": "coco-json", **dict(zip(names, parts, strict=False))})

    @property
    def left_out(self) -> frozenset[str]:
        return self.paths if self.train_content and self.val_content else frozenset()

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        annotations, images = self.annotations, self.images
        if split == "val":
            annotations = self.val_annotations or annotations
            images = self.val_images or images
        return inputs.expanded(annotations), inputs.expanded(images)

    def unlike(self, root: Path) -> list[tuple[Split, tuple[Path, Path]]]:
        train, val = super().unlike(root)
        return [train] if self.val_annotations is None and train[1] == val[1] else [train, val]

    def overlap(self, root: Path) -> list[str]:
        from detbench.data import counting, shared

        found = []
        for _, (file, folder) in self.unlike(root):
            try:
                found.append(shared.places(folder, counting.names(file)))
            except (OSError, ValueError):  # reading it whole says it
                return []
        return shared.sentences(found, content=False)

    def advice(self, root: Path) -> str:
        return "mend the path in the recipe or in --dataset"

    def val_split(self, limit: int | None = None) -> str:
        name = Path(self.val_annotations or self.annotations).name
        return name if limit is None else f"{name}, first {limit}"

    def describe(self) -> str:
        return f"COCO JSON {self.annotations}"

    @property
    def argument(self) -> str:
        """What ``--dataset`` takes."""
        parts = (self.annotations, self.images, self.val_annotations, self.val_images)
        return ":".join(["coco", *(part for part in parts if part)])

    @property
    def seen_in_training(self) -> str | None:
        if self.val_annotations not in (None, self.annotations):
            return super().seen_in_training
        if self.val_annotations is not None:
            return f"evaluated on the training images: both splits are {self.annotations}"
        return (
            f"evaluated on the training images: {Path(self.annotations).name} comes without a pair "
            "to evaluate on, as --dataset coco:TRAIN.json:IMAGES:VAL.json:IMAGES gives one"
        )
