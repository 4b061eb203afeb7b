"""The embedded data set ``shapes``: scenes drawn on demand, in COCO form, the same everywhere.

A scene is a pure function of (version, variant, split, index, size) and, where training scenes are
drawn by seed, of the seed: the same bytes on every machine, in every process and library version.
What it may hold is in ``shapes_variants``, what it holds in ``shapes_plan``, how it is drawn in
``shapes_draw``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.data import Category, Sample, Split
from detbench.data.draws import Draws
from detbench.data.segmentations import as_json, bitmaps
from detbench.data.shapes_draw import Coverage, Part, background, cover, finish, paint
from detbench.data.shapes_plan import Plan, plan
from detbench.data.shapes_variants import CATEGORIES, FAMILIES, VARIANTS, Variant
from detbench.errors import DataError

VERSION = 1
SMALLEST = 32

_SPLITS = {"train": 0, "val": 1}
_BY_SEED = 2  # more splits after those two, one a seed
_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Annotations:
    """Ground truth of one scene.

    Attributes:
        boxes: (n, 4), float32, xyxy pixels: the extent inside the image; hidden parts are included
            unless the annotator cropped it.
        labels: (n,), int64, indices into ``CATEGORIES``.
        areas: (n,), int64, pixels inside the outline, hidden ones included as in ``boxes``.
        masks: of those pixels in the scene, n compressed RLEs; none unless asked for.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    areas: NDArray[np.int64]
    masks: list[dict[str, Any]] | None = None


Layers = list[list[tuple[Part, Coverage]]]


class Shapes:
    """One split of the embedded data set.

    Args:
        split: ``train`` or ``val``; they never share a scene.
        count: number of scenes.
        size: side in pixels, 32 or more.
        variant: a name of ``VARIANTS``.
        version: of the drawing code; only the one this release draws.
        seed: draws other scenes than both splits have, each seed its own; none is the split's.

    Scenes are kept in memory once drawn where all of them fit into 512 MB.

    Attributes:
        masks: samples and ground truth have masks: the pixels that a box surrounds, hidden ones
            included as there, so that a box is just its mask's. To be set before the first is seen.

    Raises:
        DataError: this release cannot draw that version or size.
    """

    masks = False

    def __init__(
        self,
        split: Split,
        count: int,
        size: int = 512,
        variant: str = "full",
        version: int = VERSION,
        seed: int | None = None,
    ) -> None:
        if version != VERSION:
            raise DataError(
                f"data: shapes version {version} cannot be drawn by this release, which draws "
                f"version {VERSION}; set data.version = {VERSION}"
            )
        if size < SMALLEST:
            raise DataError(
                f"data: shapes of size {size} would be too small to see; "
                f"set data.size to {SMALLEST} or more"
            )
        self.size = size
        self.categories = [Category(index + 1, name) for index, name in enumerate(CATEGORIES)]
        self.sizes = [(size, size)] * count
        self.trainable = range(count)  # every scene has an object
        self.in_memory = count * 3 * size * size <= _CACHE_BYTES
        which = (_SPLITS[split],) if seed is None else (_BY_SEED, seed)
        self._key = (version, VARIANTS[variant].code, *which)
        self._variant = VARIANTS[variant]
        self._annotations: dict[int, Annotations] = {}
        self._images: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.sizes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": {}}  # cheaper to draw again than to send

    def sample(self, index: int) -> Sample:
        """Scene ``index`` with its objects, at least one."""
        import torch  # here, so that results can be scored against a split without it

        image = self._images.get(index)
        if image is None:
            image, self._annotations[index] = draw(
                self._key, index, self.size, self._variant, self.masks
            )
            if self.in_memory:
                self._images[index] = image
        found = self._annotations[index]
        return Sample(
            torch.from_numpy(image),
            torch.from_numpy(found.boxes),
            torch.from_numpy(found.labels),
            index + 1,
            None
            if found.masks is None
            else torch.from_numpy(bitmaps(found.masks, (self.size, self.size))),
        )

    def annotations(self, index: int) -> Annotations:
        """The objects of scene ``index``, without drawing it."""
        if index not in self._annotations:
            _, _, kept = _arrange(self._key, index, self.size, self._variant)
            self._annotations[index] = _annotate(kept, self.size if self.masks else None)
        return self._annotations[index]

    def objects(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index of the scene and label of each object, (n,) each; nothing is drawn for it."""
        found = [self.annotations(index).labels for index in range(len(self))]
        return np.repeat(np.arange(len(self)), list(map(len, found))), np.concatenate(found)

    def truth(self) -> dict[str, Any]:
        """What detections are scored against."""
        return self.ground_truth()

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary of the whole split; nothing is drawn for it."""
        annotations: list[dict[str, Any]] = []
        for index in range(len(self)):
            found = self.annotations(index)
            masks = repeat(None) if found.masks is None else found.masks
            columns = (found.boxes, found.labels, found.areas, masks)
            for box, label, area, rle in zip(*columns, strict=False):
                left, top, right, bottom = (float(edge) for edge in box)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": index + 1,
                        "category_id": int(label) + 1,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": float(area),
                        "iscrowd": 0,
                        "ignore": 0,
                    }
                )
                if rle is not None:
                    annotations[-1]["segmentation"] = as_json(rle)
        return {
            "info": {"description": "detbench shapes"},
            "images": [
                {"id": i + 1, "width": self.size, "height": self.size, "file_name": f"{i + 1}.png"}
                for i in range(len(self))
            ],
            "categories": [{"id": c.id, "name": c.name} for c in self.categories],
            "annotations": annotations,
        }


class OneClass(Shapes):
    """The same scenes with all twelve classes as one, as a face detector has one.

    In WIDER FACE's settings an object counts by its longer side: as easy from a quarter of the
    scene on, as medium from an eighth, as hard always; so they are nested as those are.
    """

    name = "shape"
    shares = (1 / 4, 1 / 8, 0.0)  # of easy, medium, hard

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.categories = [Category(1, self.name)]

    def sample(self, index: int) -> Sample:
        """Scene ``index`` with its objects, all of label 0."""
        found = super().sample(index)
        return replace(found, labels=found.labels.new_zeros(len(found.labels)))

    def objects(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As of all classes, with label 0."""
        scenes, labels = super().objects()
        return scenes, np.zeros_like(labels)

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary of the whole split, with marks as ``coco_check.Table`` has them."""
        content = super().ground_truth()
        for one in content["annotations"]:
            share = max(one["bbox"][2:]) / self.size
            marks = (share >= least for least in self.shares)
            one["category_id"] = 1
            one["marks"] = sum(counts << bit for bit, counts in enumerate(marks))
        return content


class Families(Shapes):
    """The same scenes with the three families as classes above the twelve, as OpenImages has some.

    Nothing is annotated as of its family alone; OpenImages' protocol says that it is of that too.
    """

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        names = (*CATEGORIES, *FAMILIES)
        self.categories = [Category(index + 1, name) for index, name in enumerate(names)]

    def ground_truth(self) -> dict[str, Any]:
        """COCO's dictionary of the whole split; classes say what is above them (``ancestors``)."""
        content = super().ground_truth()
        for place, family in enumerate(FAMILIES, len(CATEGORIES) + 1):
            for one in content["categories"]:
                if one["name"] in FAMILIES[family]:
                    one["ancestors"] = [place]
        return content


def draw(
    key: tuple[int, ...], index: int, size: int, variant: Variant, masks: bool = False
) -> tuple[NDArray[np.uint8], Annotations]:
    """Draw scene ``index``: (3, size, size) RGB bytes and its objects, with or without masks."""
    scene, layers, kept = _arrange(key, index, size, variant)
    draws = Draws(*key, index, 1)
    image = background(draws, size, scene.base, variant.swing, scene.cells)
    for layer in layers:
        for part, coverage in layer:
            paint(image, part, coverage)
    return finish(image, draws, variant.grain), _annotate(kept, size if masks else None)


@dataclass(frozen=True)
class _Marked:
    """An annotated object: its label, and the pixels its annotation surrounds.

    Attributes:
        left, top: of ``mask`` in the scene.
        mask: (h, w), bool, not empty.
    """

    label: int
    left: int
    top: int
    mask: NDArray[np.bool_]


def _arrange(
    key: tuple[int, ...], index: int, size: int, variant: Variant
) -> tuple[Plan, Layers, list[_Marked]]:
    """Plan a scene, leave out what would be mostly hidden, and annotate the rest.

    Returns:
        The plan, what to draw from back to front, and the annotated objects.
    """
    scene = plan(Draws(*key, index, 0), size, variant)
    annotator = Draws(*key, index, 2)
    taken = np.zeros((size, size), bool)
    layers: Layers = []
    kept: list[_Marked] = []
    front: list[_Marked] = []
    for thing in reversed(scene.things):
        layer = [(part, cover(part, size)) for part in thing.parts]
        if thing.label is not None:
            seen = _seen(layer, taken, variant.visible)
            if not seen and variant.hidden == "left out":
                if front:
                    continue
                seen = True  # one is always left in
            misses = annotator.chance(variant.overlooked if seen else 1.0 - variant.guessed)
            crops = annotator.chance(variant.cropped)
            marked = _marked(thing.label, layer[-1][1], taken, crops)
            front = front or [marked]
            kept += [] if misses else [marked]
        layers.append(layer)
        for part, coverage in layer:
            if part.opacity == 1.0:
                taken[coverage.window] |= coverage.alpha > 0.5
    layers.reverse()
    return scene, layers, kept or front  # of every scene something is annotated


def _marked(label: int, body: Coverage, taken: NDArray[np.bool_], crops: bool) -> _Marked:
    """An object as it is annotated: ``crops`` to what is free of ``taken``, if anything is."""
    mask = body.alpha > 0.5
    if crops:
        free = mask & ~taken[body.window]
        mask = free if free.any() else mask
    return _Marked(label, body.left, body.top, mask)


def _seen(layer: list[tuple[Part, Coverage]], taken: NDArray[np.bool_], share: float) -> bool:
    """Whether enough of every part is free of what stands before it."""
    for _, coverage in layer:
        mask = coverage.alpha > 0.5
        free = np.count_nonzero(mask & ~taken[coverage.window])
        if free < share * np.count_nonzero(mask) or not free:
            return False
    return True


def _annotate(kept: list[_Marked], size: int | None = None) -> Annotations:
    """The annotations of a scene; with their masks where its ``size`` is given."""
    boxes = np.zeros((len(kept), 4), np.float32)
    areas = np.zeros(len(kept), np.int64)
    for row, one in enumerate(kept):
        columns = np.flatnonzero(one.mask.any(axis=0))
        rows = np.flatnonzero(one.mask.any(axis=1))
        boxes[row] = (
            one.left + columns[0],
            one.top + rows[0],
            one.left + columns[-1] + 1,
            one.top + rows[-1] + 1,
        )
        areas[row] = np.count_nonzero(one.mask)
    labels = np.array([one.label for one in kept], np.int64)
    return Annotations(boxes, labels, areas, None if size is None else _encoded(kept, size))


def _encoded(kept: list[_Marked], size: int) -> list[dict[str, Any]]:
    """Masks in the scene as compressed RLEs."""
    from pycocotools import mask

    scene = np.zeros((size, size, len(kept)), np.uint8, order="F")
    for row, one in enumerate(kept):
        height, width = one.mask.shape
        scene[one.top : one.top + height, one.left : one.left + width, row] = one.mask
    encoded: list[dict[str, Any]] = mask.encode(scene)
    return encoded
