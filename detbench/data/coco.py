"""COCO as a kind (Lin et al. 2014). No torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from detbench.data.coco_json import InJson
from detbench.data.kind import Split


class Coco(InJson):
    """COCO on disk: ``<root>/coco/annotations/instances_<split>.json`` and ``coco/<split>/``."""

    title: ClassVar[str] = "COCO"
    what: ClassVar[str] = "COCO 2017 on disk"

    kind: Literal["coco"]
    train: str = "train2017"
    val: str = "val2017"

    def where(self, split: Split, root: Path) -> tuple[Path, Path]:
        name = self.train if split == "train" else self.val
        folder = root / "coco"
        return folder / "annotations" / f"instances_{name}.json", folder / name

    def public(self, split: Split) -> str | None:
        return f"coco {self.train if split == 'train' else self.val}"

    def advice(self, root: Path) -> str:
        return (
            f"put COCO below {root / 'coco'} (annotations/, {self.train}/, {self.val}/) "
            f"or name another folder by --data-root or DETBENCH_DATA"
        )

    def categories(self, root: Path) -> list[tuple[int, str]]:
        """Also where COCO is not on disk: torchvision's weights have their names."""
        if self.why_missing(root):
            from detbench.detectors.torchvision_importer import coco_classes

            return list(zip(*coco_classes(), strict=True))
        return super().categories(root)

    def val_split(self, limit: int | None = None) -> str:
        name = f"COCO {self.val}"
        return name if limit is None else f"{name}, first {limit}"

    def describe(self) -> str:
        return f"COCO {self.train} / {self.val}"
