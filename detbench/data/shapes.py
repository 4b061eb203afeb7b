"""The embedded data set ``shapes`` as a kind; its scenes are drawn by ``scenes``. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from detbench.data.kind import SPLITS, DataSet, Entry, Split
from detbench.recipe.model import ImageSide, Positive

if TYPE_CHECKING:
    from detbench.data import Dataset

Scenes = Annotated[int, Field(gt=0, le=10**7)]
"""To list more takes all memory before the first is drawn."""
_PROTOCOLS = {1: "detbench.evaluation.widerface", 15: "detbench.evaluation.openimages"}
_SAID = {1: ", one class", 15: ", in families"}


class Shapes(DataSet):
    """The embedded data set: scenes drawn on demand, the same on every machine.

    Attributes:
        size: side of the square scenes in pixels; objects are in proportion to it.
        train, val: numbers of scenes. The splits never share a scene.
        variant: ``full``; ``easy`` with fewer, larger objects and less clutter; ``covered``, soon
            learnt, but with hidden objects and annotators that make mistakes.
        version: of the drawing code; a change of what is drawn changes it.
        scenes: ``by-seed`` draws the training scenes of each seed anew, so that what seeds differ
            by covers the data too; none trains every seed on the same. The val split has no seed.
        classes: 1 makes all twelve one, scored by WIDER FACE's protocol too; 15 adds their three
            families above them, scored by OpenImages' protocol too.
    """

    title: ClassVar[str] = "shapes"
    what: ClassVar[str] = "embedded: scenes drawn on demand"
    drawn: ClassVar[bool] = True
    added: ClassVar[frozenset[str]] = frozenset({"classes"})

    kind: Literal["shapes"]
    size: ImageSide = 512
    train: Scenes = 4000
    val: Scenes = 500
    variant: Literal["full", "easy", "covered"] = "full"
    version: Positive = 1
    scenes: Literal["by-seed"] | None = None
    classes: Literal[1, 12, 15] = 12

    @property
    def protocol(self) -> str | None:
        return _PROTOCOLS.get(self.classes)

    @property
    def by_seed(self) -> bool:
        return self.scenes == "by-seed"

    def count(self, split: Split) -> int | None:
        return self.train if split == "train" else self.val

    def open(self, split: Split, root: Path, seed: int = 0, masks: bool = False) -> Dataset:
        from detbench.data import scenes

        count = self.train if split == "train" else self.val
        drawn = seed if split == "train" and self.by_seed else None
        kind = {1: scenes.OneClass, 15: scenes.Families}.get(self.classes, scenes.Shapes)
        opened = kind(split, count, self.size, self.variant, self.version, drawn)
        opened.masks = masks
        return opened

    def truth(self, root: Path, masks: bool = False) -> dict[str, Any]:
        return self.open("val", root, masks=masks).ground_truth()

    def part(
        self, split: Split, root: Path, limit: int | None
    ) -> tuple[dict[str, Any], Path | None]:
        # Only what is asked for is laid out.
        count = min(getattr(self, split), limit or getattr(self, split))
        few = self.model_copy(update={split: count})
        return few.open(split, root, masks=True).ground_truth(), None

    def entries(self, name: str, root: Path) -> Iterator[Entry]:
        for split in SPLITS:
            yield Entry(name, split, "drawn on demand", self.count(split), None)

    def val_split(self, limit: int | None = None) -> str:
        count = self.val if limit is None else min(limit, self.val)
        one = _SAID.get(self.classes, "")
        return f"shapes {self.variant} {self.size} px{one}, val {count}"

    def describe(self) -> str:
        drawn = " drawn by seed" if self.by_seed else ""
        one = _SAID.get(self.classes, "")
        counts = f"{self.train} train{drawn}, {self.val} val"
        return f"shapes ({self.variant}, {self.size} px{one}, {counts})"
