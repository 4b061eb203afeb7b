"""WIDER FACE as a kind (Yang et al. 2016); ``widerface_files`` reads its annotations. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from detbench.data.counting import of_faces
from detbench.data.kind import SPLITS, D, Entry, OnDisk, Split

if TYPE_CHECKING:
    from detbench.data.coco_check import Table


class WiderFace(OnDisk):
    """WIDER FACE on disk: what its archives unpack to, side by side in ``<root>/widerface/``.

    These are ``WIDER_train/images/``, ``WIDER_val/images/``, ``wider_face_split/`` and, of the
    evaluation tools, ``eval_tools/ground_truth/``.
    """

    title: ClassVar[str] = "WIDER FACE"
    what: ClassVar[str] = "WIDER FACE on disk"
    crowd: ClassVar[str] = "invalid"
    num_classes: ClassVar[int] = 1
    note: ClassVar[str] = (
        "Invalid faces are crowds in it; WIDER FACE's own AP is measured on widerface only."
    )

    kind: Literal["widerface"]

    @property
    def protocol(self) -> str:
        return "detbench.evaluation.widerface"

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        home = root / "widerface"
        annotations = home / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        return annotations, home / f"WIDER_{split}" / "images"

    def lists(self, root: Path) -> Path:
        """The folder that says which faces of the val split count in which setting."""
        return root / "widerface" / "eval_tools" / "ground_truth"

    def needed(self, split: Split, root: Path) -> Iterator[tuple[str, Path]]:
        from detbench.data.widerface_lists import files

        yield from super().needed(split, root)
        if split == "val":
            yield from (("ground truth list", path) for path in files(self.lists(root)))

    def hashed(self, split: Split, root: Path) -> list[Path]:
        return [path for what, path in self.needed(split, root) if "folder" not in what]

    def public(self, split: Split) -> str | None:
        return f"widerface {split}"

    def table(self, split: Split, root: Path) -> Table:
        from detbench.data.widerface_files import read

        found = read(*self.where(split, root), self.lists(root) if split == "val" else None)
        return self.rule.to_table(found)

    def sifted(self, split: Split, root: Path) -> tuple[Table | None, list[str]]:
        from detbench.data.widerface_files import sifted

        lists = self.lists(root) if split == "val" else None
        table, faults = sifted(*self.where(split, root), lists)
        return None if table is None else self.rule.to_table(table), faults

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        from detbench.data.coco_check import check_files

        content, images = super().part(split, root, limit)
        source, folder = self.where(split, root)  # without its images no size is known
        check_files(folder, [one["file_name"] for one in content["images"]], source)
        return content, images

    def advice(self, root: Path) -> str:
        return (
            f"put WIDER FACE below {root / 'widerface'} (WIDER_train/, WIDER_val/, "
            f"wider_face_split/, eval_tools/) or name another folder by --data-root or "
            f"DETBENCH_DATA"
        )

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        for split in SPLITS:
            lists = [path for what, path in self.needed(split, root) if "list" in what]
            yield of_faces(name, split, *self.where(split, root), lists)

    def standing_in(self, drawn: D) -> D:
        return drawn.model_copy(update={"classes": 1})

    def val_split(self, limit: int | None = None) -> str:
        return "WIDER FACE val" if limit is None else f"WIDER FACE val, first {limit}"

    def describe(self) -> str:
        return "WIDER FACE train / val"
