"""What a kind of data set is: one schema with everything that detbench asks about it. No torch.

A kind is a table of a recipe, ``[data]`` with its ``kind``. All that differs between kinds is in
its methods; nothing else in detbench asks which kind it has. ``DataSet`` is the contract,
``OnDisk`` that of annotation files with images. A new kind is one
file with such a class and one line in ``kinds``.

This module and those of the kinds are read with every recipe, so they import what is heavy (numpy,
torch, parsers) where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from detbench.errors import CHANGED_SINCE, DataError
from detbench.recipe.base import Spec

if TYPE_CHECKING:
    from detbench.data import Dataset
    from detbench.data.box_rule import BoxRule
    from detbench.data.coco_check import Table

Split = Literal["train", "val"]
SPLITS: tuple[Split, Split] = ("train", "val")
D = TypeVar("D", bound="DataSet")


@dataclass(frozen=True)
class Entry:
    """One split of a data set, as far as it is here.

    Attributes:
        dataset: what ``--dataset`` takes.
        where: the annotation file, image list, or why there is none.
        images, objects: none where they are not known without drawing or reading all.
        missing: what is not there; empty if all is.
    """

    dataset: str
    split: str
    where: str
    images: int | None
    objects: int | None
    missing: str = ""

    @property
    def found(self) -> str:
        """``yes``, ``no``, or ``in part``."""
        if not self.missing:
            return "yes"
        return "no" if self.images is None else "in part"


class DataSet(Spec):
    """The contract of a kind.

    Attributes:
        title: heads columns of numbers on it.
        what: it is, in ``detbench list datasets``; empty for one that no name stands for.
        crowd: what objects are called that are not learnt from.
        num_classes: of the papers' detectors that are trained on it.
        drawn: it is no files; numbers of images are known, and ``--dataset`` with its name alone
            leaves a profile's own settings of it.
        note: what to tell who has converted it to COCO's JSON.
        prefix, takes: of a set of the user's own files ``--dataset`` has ``prefix:takes``.
    """

    title: ClassVar[str]
    what: ClassVar[str] = ""
    crowd: ClassVar[str] = "crowd"
    num_classes: ClassVar[int] = 80
    drawn: ClassVar[bool] = False
    note: ClassVar[str] = ""
    prefix: ClassVar[str] = ""
    takes: ClassVar[str] = ""

    kind: str

    @classmethod
    def of_argument(cls, words: str) -> Self | None:
        """What ``--dataset prefix:words`` names; none if they are not as ``takes`` says."""
        return None

    @property
    def protocol(self) -> str | None:
        """Import path of a module that scores beside COCO's metrics, see ``evaluation.scoring``."""
        return None

    @property
    def by_seed(self) -> bool:
        """Whether each seed trains on images of its own."""
        return False

    def count(self, split: Split) -> int | None:
        """Number of images where it is known without reading anything."""
        return None

    def why_missing(self, root: Path) -> str | None:
        """Why it cannot be used, in one line, or none if its files are there, unread."""
        return None

    def check(self, root: Path) -> list[str]:
        """Check both splits as far as possible without decoding an image.

        Returns:
            Sentences on what its settings changed of them, and what a user should know.

        Raises:
            DataError: the first thing that is wrong, in one line.
        """
        return []

    def settled(self, root: Path) -> Self:
        """It with the content of its annotations, where a digest must tell it.

        Where files are missing, it stays as it is. Raises ``DataError`` if its recipe asks for
        another content.
        """
        return self

    def open(self, split: Split, root: Path, seed: int = 0, masks: bool = False) -> Dataset:
        """One split; see ``detbench.data.load``."""
        raise NotImplementedError

    def truth(self, root: Path, masks: bool = False) -> Table | dict[str, Any]:
        """The val split's ground truth, as columns or COCO's dictionary, with ``masks`` where it
        has any; the images need not be there.
        """
        raise NotImplementedError

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        """What to convert of a split: COCO's dictionary, of at least the first ``limit`` images,
        and the folder of the images; none where they are drawn.
        """
        raise NotImplementedError

    def table(self, split: Split, root: Path) -> Table:
        """The annotations of a split, read and checked.

        Raises:
            DataError: the first thing that is wrong, in one line.
        """
        raise NotImplementedError

    def whole(self, split: Split, root: Path) -> Table:
        """As ``table``, with the masks of objects where there are any, checked too."""
        return self.table(split, root)

    def sifted(self, split: Split, root: Path) -> tuple[Table | None, list[str]]:
        """As ``whole``, less what is at fault, and every fault in a sentence; no table where the
        annotations cannot be read at all.
        """
        try:
            return self.whole(split, root), []
        except DataError as error:
            return None, [str(error)]

    def overlap(self, root: Path) -> list[str]:
        """Sentences on images that are in both splits, as far as their names alone tell; only of
        sets of the user's own.
        """
        return []

    def unlike(self, root: Path) -> list[tuple[Split, tuple[Path, Path]]]:
        """Its splits on disk, each with annotations and folder of images; one that serves as both
        is named once.
        """
        return []

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        """Its splits, as far as they are here; ``name`` is what ``--dataset`` takes."""
        raise NotImplementedError

    def standing_in(self, drawn: D) -> D:
        """What of an embedded data set stands in for it, where a profile asks for that one."""
        return drawn

    def categories(self, root: Path) -> list[tuple[int, str]]:
        """Ids and names of its classes.

        Raises:
            DataError: it is not there.
        """
        if missing := self.why_missing(root):
            raise DataError(f"data: {missing}")
        return [(one.id, one.name) for one in self.open("val", root).categories]

    def val_split(self, limit: int | None = None) -> str:
        """The name of its val split in a protocol, whatever was trained on; see ``label``."""
        raise NotImplementedError

    def label(self, limit: int | None = None) -> str:
        """The name of its val split in a protocol, as in "shapes easy 128 px, val 250".

        It is ``val_split``, what was done with boxes (``edits``), and where seeds were trained on
        scenes of their own.

        Args:
            limit: only the first this many images are used.
        """
        drawn = ", training scenes drawn by seed" if self.by_seed else ""
        return self.val_split(limit) + self.edits + drawn

    @property
    def edits(self) -> str:
        """What its settings do with boxes, as in ", boxes outside clipped"; empty for nothing."""
        return ""

    def describe(self) -> str:
        """It in a few words, as a setting of a recipe."""
        raise NotImplementedError

    @property
    def seen_in_training(self) -> str | None:
        """A warning where what is evaluated on is what was learnt from, or none."""
        return None


class OnDisk(DataSet):
    """The contract of annotation files with images.

    Attributes:
        train_content, val_content: sha256 of what the annotations of a split hold, as
            ``content.of_files`` gives it; none is whatever is there. In a recipe it asks for just
            that content.
        outside, no_area: what becomes of boxes that reach outside their image and of those without
            area, in training and evaluation; none is as the kind does by itself (``box_rule``).
    """

    evaluated: ClassVar[frozenset[str]] = frozenset({"val_content"})
    added: ClassVar[frozenset[str]] = frozenset({"outside", "no_area"})

    outside: Literal["clip", "drop"] | None = None
    no_area: Literal["drop"] | None = None
    train_content: str | None = None
    val_content: str | None = None

    @property
    def seen_in_training(self) -> str | None:
        if self.train_content is None or self.train_content != self.val_content:
            return None
        return "evaluated on the training images: both splits hold the same images and objects"

    @property
    def rule(self) -> BoxRule:
        """What is asked for of boxes."""
        from detbench.data.box_rule import BoxRule

        return BoxRule(self.outside, self.no_area)

    @property
    def edits(self) -> str:
        return self.rule.words

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        """The annotations of a split, a file or a folder of files, and the folder of images."""
        raise NotImplementedError

    def needed(self, split: Split, root: Path) -> Iterator[tuple[str, Path]]:
        """What must be there, each with what it is: a folder if that says so, else a file."""
        file, images = self.where(split, root)
        yield "annotation file", file
        yield "image folder", images

    def advice(self, root: Path) -> str:
        """What to do where something is missing."""
        raise NotImplementedError

    def hashed(self, split: Split, root: Path) -> list[Path]:
        """The files that a split's content is that of."""
        return [self.where(split, root)[0]]

    def public(self, split: Split) -> str | None:
        """The public name that stands for a split's content; none if only the files say it."""
        return None

    def why_missing(self, root: Path) -> str | None:
        for split in SPLITS:
            for what, path in self.needed(split, root):
                if not (path.is_dir() if "folder" in what else path.is_file()):
                    return f"{what} {path} is not there; {self.advice(root)}"
        return None

    def check(self, root: Path) -> list[str]:
        from detbench.data import shared

        said, places = [], []
        for split, (source, folder) in self.unlike(root):
            table = self.table(split, root)
            self.check_images(split, root, table)
            said += [f"{source}: {one}" for one in table.edited.said(len(table.ids))]
            places.append(shared.places(folder, table.file_names))
        return said + shared.sentences(places, content=True)

    def check_images(self, split: Split, root: Path, table: Table) -> None:
        """Raise ``DataError`` if an image of a split is not there."""
        from detbench.data.coco_check import check_files

        source, images = self.where(split, root)
        check_files(images, table.file_names, source)

    def unlike(self, root: Path) -> list[tuple[Split, tuple[Path, Path]]]:
        return [(split, self.where(split, root)) for split in SPLITS]

    def settled(self, root: Path) -> Self:
        if self.why_missing(root):
            return self
        found = {}
        for split in SPLITS:
            content = self._content(split, root)
            name = self.public(split)
            wanted = getattr(self, f"{split}_content")
            if wanted not in (None, content):
                raise DataError(self._changed(split, root))
            if wanted is None and not (name and _first_seen(name, content)):
                found[f"{split}_content"] = content
        return self.model_copy(update=found)

    def _content(self, split: Split, root: Path) -> str:
        from detbench.data import content

        return content.of_files(self.hashed(split, root))

    def _changed(self, split: Split, root: Path, read: bool = False) -> str:
        where = self.where(split, root)[0]
        advice = "restore them, or give the command again without data.*_content"
        if read:
            advice = f"they {CHANGED_SINCE}; where a recipe or --set asks for them, {advice}"
        return (
            f"{where}: the {split} annotations are not those that are asked for, whose content "
            f"is {str(getattr(self, f'{split}_content'))[:12]}...: {advice}"
        )

    def _read(self, split: Split, root: Path, masks: bool = False) -> Table:
        """The annotations of a split, which must have the content that is asked for."""
        wanted = getattr(self, f"{split}_content")
        if wanted not in (None, self._content(split, root) if wanted else None):
            raise DataError(self._changed(split, root, read=True))
        return self.whole(split, root) if masks else self.table(split, root)

    def open(self, split: Split, root: Path, seed: int = 0, masks: bool = False) -> Dataset:
        from detbench.data.dataset import CocoDataset

        source, images = self.where(split, root)
        table = self._read(split, root, masks)
        if masks and (table.masks is None or not table.masks.present.any()):
            raise DataError(
                f"{source}: no object has a segmentation, and masks are to be learnt; take a "
                f"detector without a mask head, or data with masks"
            )
        return CocoDataset(source, images, table)

    def truth(self, root: Path, masks: bool = False) -> Table:
        return self._read("val", root, masks)

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        source, images = self.where(split, root)
        return self._read(split, root).ground_truth(f"{source} {split}"), images


def _first_seen(name: str, content: str) -> bool:
    from detbench.data.content import as_first_seen

    return as_first_seen(name, content)
