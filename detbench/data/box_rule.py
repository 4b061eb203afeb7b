"""What becomes of boxes that reach outside their image, and of those without area. No torch.

By itself each kind of data set does with them as its own file says: COCO's JSON, VOC and YOLO
refuse boxes that reach more than 2 pixels outside (of COCO's a few without area are evaluated and
not learnt from), OpenImages those by a hundredth of a side; WIDER FACE has and keeps both.
A rule that is asked for does the same with all of them, in training and in evaluation, and counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from detbench.data.coco_check import Table

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Real annotations exceed their image by rounding; more is a mistake, or meant (amodal boxes).
EXCESS = 2.0


@dataclass(frozen=True)
class Edited:
    """How many boxes a rule changed or left out.

    Attributes:
        clipped: cut at the edges of their image.
        outside: left out, as they reach outside; also those of which a cut leaves nothing.
        no_area: left out, as they have no area.
    """

    clipped: int = 0
    outside: int = 0
    no_area: int = 0

    @property
    def any(self) -> bool:
        """Whether anything was changed."""
        return self != UNEDITED

    def said(self, of: int) -> list[str]:
        """Sentences, none where nothing was changed; ``of`` is how many objects are left."""
        total = of + self.outside + self.no_area
        words = {
            "clipped": "reach outside their image and are cut at its edges",
            "outside": "reach outside their image and are left out",
            "no_area": "have no area and are left out",
        }
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        found = [(counts[name], what) for name, what in words.items() if counts[name]]
        return [f"{count} of {total} boxes {what}" for count, what in found]


class Applied(NamedTuple):
    """What a rule makes of n boxes.

    Attributes:
        boxes, areas: (n, 4) and (n,), in the order given.
        kept: (n,), which are not left out.
    """

    boxes: Floats
    areas: Floats
    kept: Flags
    edited: Edited


@dataclass(frozen=True)
class BoxRule:
    """What is asked for; none is as the kind of data set does by itself.

    Attributes:
        outside: boxes that reach outside their image by more than rounding: cut at its edges, and
            left out where nothing remains, or all left out.
        no_area: boxes of no width or height: left out.
    """

    outside: Literal["clip", "drop"] | None = None
    no_area: Literal["drop"] | None = None

    @property
    def words(self) -> str:
        """For a protocol, as in ", boxes outside clipped"; empty where nothing is asked for."""
        outside = {"clip": ", boxes outside clipped", "drop": ", boxes outside dropped", None: ""}
        return outside[self.outside] + (", those without area dropped" if self.no_area else "")

    def apply(
        self,
        boxes: Floats,
        areas: Floats,
        sizes: Ints,
        excess: float | Floats = EXCESS,
        pixel: int = 0,
    ) -> Applied:
        """Do it to boxes.

        Args:
            boxes: (n, 4), [x, y, w, h] in pixels, of sizes not negative; n may be 0.
            areas: (n,); of a box that is cut it becomes at most the box's.
            sizes: (n, 2), width and height of each one's image; where one is 0, its image is not
                there and nothing is done.
            excess: pixels that a box may reach outside, of both sides or (n, 2).
            pixel: how far inside the last edge the largest box ends (VOC's are a pixel narrower).
        """
        known = (sizes > 0).all(axis=1)
        ends = sizes - pixel
        corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)
        empty = known & (boxes[:, 2:] == 0).any(axis=1) & (self.no_area == "drop")
        far = (corners[:, :2] < -np.asarray(excess)) | (corners[:, 2:] > ends + excess)
        far = far.any(axis=1) & known & ~empty & (self.outside is not None)
        gone = far.copy()
        if self.outside == "clip" and far.any():
            cut = np.clip(corners, 0, np.tile(ends, 2))
            sides = cut[:, 2:] - cut[:, :2]
            gone &= (sides <= 0).any(axis=1)
            cut = np.concatenate((cut[:, :2], sides), axis=1)
            boxes = np.where((far & ~gone)[:, None], cut, boxes)
            areas = np.where(far & ~gone, np.minimum(areas, sides.prod(axis=1)), areas)
        counts = (int(np.count_nonzero(one)) for one in (far & ~gone, gone, empty))
        return Applied(boxes, areas, ~(gone | empty), Edited(*counts))

    def to_table(self, table: Table, excess: float | Floats = EXCESS, pixel: int = 0) -> Table:
        """As ``apply``, to a table without masks; what is left out is in none of its columns."""
        if self == AS_ANNOTATED:
            return table
        sizes = table.image_sizes[table.image_rows]
        done = self.apply(table.boxes, table.areas, sizes, excess, pixel)
        columns: dict[str, Any] = {
            name: None if one is None else one[done.kept]
            for name in ("ids", "image_rows", "labels", "crowd", "marks")
            for one in [getattr(table, name)]
        }
        return replace(
            table,
            **columns,
            boxes=done.boxes[done.kept],
            areas=done.areas[done.kept],
            edited=done.edited,
        )


AS_ANNOTATED = BoxRule()
"""Nothing is asked for."""
UNEDITED = Edited()
"""Nothing was changed."""
