"""Segmentations in COCO's three forms as columns, and the masks that they are. No torch.

A segmentation is a list of polygons, each ``[x, y, x, y, ...]``; a run-length encoding (RLE) whose
``counts`` are a list; or one whose ``counts`` are pycocotools' compressed text. They stay as they
are, a column of coordinates and one of text, until an image's masks are asked for; pycocotools
rasterises them, so that masks are COCO's own. In particular:

- what reaches beyond the image is cut off; a polygon outside it, or one that holds no pixel's
  centre, leaves an empty mask;
- an object may have no segmentation: none, null, or an empty list.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_TEXT_AT_ONCE = 1 << 16  # what follows stays in the processor's cache
_LONGEST = 7  # characters of a run: 35 bits, far beyond any image
_FIRST, _LAST = 48, 111  # characters of 6 bits: 5 of a number, and whether more follow
_POLYGONS = "a polygon is [x, y, x, y, ...], in pixels, of three points or more"
_RLE = "an RLE is {size: [height, width], counts: ...}, run lengths column by column"


class Damaged(Exception):
    """A segmentation is none.

    Attributes:
        row: of the first damaged one.
        problem, advice: in words.
    """

    def __init__(self, row: int, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.row, self.problem, self.advice = row, problem, advice


class Placed(NamedTuple):
    """A mask somewhere in an image, with no object outside of it.

    Attributes:
        left, top: of ``mask``.
        mask: (h, w), inside the image; h and w may be 0.
    """

    left: int
    top: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Segmentations:
    """Those of n objects.

    Attributes:
        sizes: (n, 2), height and width of each object's image.
        parts: (n + 1,), object i has the polygons ``parts[i]`` to ``parts[i + 1]``.
        points: (p + 1,), polygon j has the coordinates ``points[j]`` to ``points[j + 1]``.
        coordinates: of all polygons, x and y by turns.
        runs: (n + 1,), object i has the text ``runs[i]`` to ``runs[i + 1]``.
        text: compressed RLEs.
    """

    sizes: Ints
    parts: Ints
    points: Ints
    coordinates: Floats
    runs: Ints
    text: bytes

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which objects have a segmentation, (n,)."""
        return (np.diff(self.parts) > 0) | (np.diff(self.runs) > 0)

    def rles(self, rows: Ints) -> list[dict[str, Any]]:
        """Compressed RLEs of some objects as pycocotools takes them, of any images.

        An object without a segmentation has an empty mask.
        """
        columns = (rows, self.sizes[rows], self.runs[rows], self.runs[rows + 1])
        return [
            {"size": size, "counts": self.text[start:stop]}
            if stop > start
            else self._rasterised(row, *size)
            for row, size, start, stop in zip(*(one.tolist() for one in columns), strict=True)
        ]

    def _rasterised(self, row: int, height: int, width: int) -> dict[str, Any]:
        from pycocotools import mask

        bounds = self.points[self.parts[row] : self.parts[row + 1] + 1].tolist()
        polygons = [self.coordinates[start:stop] for start, stop in pairwise(bounds)]
        if not polygons:
            return compressed([[height * width]], (height, width))[0]
        found: dict[str, Any] = mask.merge(mask.frPyObjects(polygons, height, width))
        return found

    def bitmaps(self, rows: Ints, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Masks of objects of one image of (height, width), (n, H, W), 0 or 1; n may be 0."""
        return bitmaps(self.rles(rows), size)


def bitmaps(rles: list[dict[str, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Compressed RLEs of one image of (height, width) as (n, H, W), 0 or 1; n may be 0."""
    from pycocotools import mask

    if not rles:
        return np.zeros((0, *size), np.uint8)
    with warnings.catch_warnings():  # pycocotools is older than numpy 2
        warnings.simplefilter("ignore", DeprecationWarning)
        decoded = mask.decode(rles)
    return np.ascontiguousarray(decoded.transpose(2, 0, 1))


def compressed(
    counts: Sequence[Sequence[int] | Ints], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Run lengths of n masks of (height, width), each beginning with 0's, as compressed RLEs."""
    from pycocotools import mask

    plain = [{"size": list(size), "counts": one} for one in counts]
    found: list[dict[str, Any]] = mask.frPyObjects(plain, *size) if plain else []
    return found


def run_lengths(placed: Placed, size: tuple[int, int]) -> Ints:
    """Of a mask in an image of (height, width), see ``compressed``."""
    left, top, mask = placed
    height, width = size
    columns = np.zeros((mask.shape[1], mask.shape[0] + 1), np.int8)  # each ends outside
    columns[:, :-1] = mask.T
    column, row = np.divmod(np.flatnonzero(np.diff(columns.ravel(), prepend=0)), columns.shape[1])
    at = (left + column) * height + top + row
    # Where one column ends and the next begins at the same pixel, nothing changes there.
    same = np.flatnonzero(at[1:] == at[:-1])
    edges = np.delete(at, np.concatenate((same, same + 1)))
    edges = edges[edges < height * width]
    return np.diff(edges, prepend=0, append=height * width)


def as_json(rle: dict[str, Any]) -> dict[str, Any]:
    """A compressed RLE as it stands in JSON: pycocotools' bytes as text."""
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def parse(entries: Sequence[Any], sizes: Ints) -> Segmentations:
    """Columns of segmentations.

    Args:
        entries: n, as JSON has them; ``None`` for an object without one.
        sizes: (n, 2), height and width of each one's image.

    Raises:
        Damaged: the first that is wrong of those that are wrong in one way.
    """
    polygons: list[tuple[int, Any]] = []
    texts: dict[int, bytes] = {}
    lists: dict[int, list[Any]] = {}
    for row, entry in enumerate(entries):
        if isinstance(entry, list):
            polygons += [(row, one) for one in entry]
        elif isinstance(entry, dict):
            counts = _counts(row, entry, sizes[row].tolist())
            if isinstance(counts, list):
                lists[row] = counts
            else:
                texts[row] = counts
        elif entry is not None:
            raise Damaged(row, f"has a segmentation that is {_kind(entry)}", f"{_POLYGONS}; {_RLE}")
    owners = np.array([row for row, _ in polygons], np.int64)
    points, coordinates = _coordinates([one for _, one in polygons], owners, sizes)
    texts |= _texts(lists, sizes)
    held = [texts.get(row, b"") for row in range(len(entries))] if texts else []
    lengths = np.zeros(len(entries), np.int64)
    if held:
        lengths[:] = [len(text) for text in held]
    runs = _starts(lengths)
    text = b"".join(held)
    _check_text(np.frombuffer(text, np.uint8), runs, sizes)
    parts = np.searchsorted(owners, np.arange(len(entries) + 1))
    return Segmentations(sizes, parts, points, coordinates, runs, text)


def _counts(row: int, entry: dict[str, Any], size: list[int]) -> list[Any] | bytes:
    """The run lengths of an RLE: a list, or text."""
    if "counts" not in entry or "size" not in entry:
        raise Damaged(row, "has a segmentation without 'size' and 'counts'", _RLE)
    found = entry["size"]
    if list(found) != size if isinstance(found, list | tuple) else True:
        height, width = size
        raise Damaged(
            row,
            f"has an RLE of size {found!r} in an image of height {height} and width {width}",
            "size is [height, width] of the whole image",
        )
    counts = entry["counts"]
    if not counts and isinstance(counts, str | bytes):
        raise Damaged(row, *_unequal(0, *size))
    if isinstance(counts, str) and counts.isascii():
        return counts.encode()
    if isinstance(counts, list | bytes):
        return counts
    raise Damaged(row, f"has RLE counts that are {_kind(counts)}", "they are a list or COCO's text")


def _coordinates(polygons: list[Any], owners: Ints, sizes: Ints) -> tuple[Ints, Floats]:
    """Where each polygon begins, and the coordinates of all, checked."""
    if not set(map(type, polygons)) <= {list}:
        wrong = next(i for i, one in enumerate(polygons) if type(one) is not list)
        what = f"has a segmentation with {_kind(polygons[wrong])} in place of a polygon"
        raise Damaged(int(owners[wrong]), what, _POLYGONS)
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
    for bad, what in ((lengths % 2 == 1, "an odd number of"), (lengths < 6, "fewer than six")):
        if bad.any():
            wrong = int(np.argmax(bad))
            what = f"has a polygon of {what} coordinates ({lengths[wrong]})"
            raise Damaged(int(owners[wrong]), what, _POLYGONS)
    points = _starts(lengths)
    try:
        numbers = set(map(type, chain.from_iterable(polygons))) <= {int, float} or all(
            map(_is_number, chain.from_iterable(polygons))
        )
        values = np.fromiter(
            chain.from_iterable(polygons) if numbers else (), np.float64, numbers * points[-1]
        )
    except OverflowError:
        numbers = False
    if not numbers:
        wrong = next(i for i, one in enumerate(polygons) if not all(map(_is_number, one)))
        raise Damaged(int(owners[wrong]), "has a polygon with something not a number", _POLYGONS)
    # Beyond that it is in another unit, and pycocotools would walk along every pixel of an edge.
    side = np.repeat(sizes[owners].max(axis=1, initial=0), lengths)
    near = (values >= -side) & (values <= 2 * side)
    if not near.all():
        at = int(np.argmin(near))
        row = int(owners[np.searchsorted(points, at, "right") - 1])
        height, width = sizes[row].tolist()
        what = f"has a polygon with the coordinate {values[at]:g} in an image of {width}x{height}"
        raise Damaged(row, what, _POLYGONS)
    return points, values


def _texts(lists: dict[int, list[Any]], sizes: Ints) -> dict[int, bytes]:
    """Text of RLEs whose counts are lists, by row."""
    for row, counts in lists.items():
        height, width = sizes[row].tolist()
        if not all(type(one) is int and one >= 0 for one in counts):
            raise Damaged(row, "has RLE counts that are no whole numbers from 0", _RLE)
        if sum(counts) != height * width:
            raise Damaged(row, *_unequal(sum(counts), height, width))
    return {
        row: compressed([counts], tuple(sizes[row].tolist()))[0]["counts"]
        for row, counts in lists.items()
    }


def _check_text(text: NDArray[np.uint8], runs: Ints, sizes: Ints) -> None:
    """Compressed RLEs add up to their images; ``runs`` is where each begins in ``text``."""
    rows = np.flatnonzero(np.diff(runs))
    cuts = np.flatnonzero(np.diff(runs[rows] // _TEXT_AT_ONCE)) + 1
    for some in np.split(rows, cuts) if len(rows) else ():
        starts = runs[np.append(some, some[-1] + 1)]
        _check_some(text[starts[0] : starts[-1]], starts - starts[0], some, sizes)


def _check_some(text: NDArray[np.uint8], starts: Ints, rows: Ints, sizes: Ints) -> None:
    """As ``_check_text``; ``starts``, (r + 1,), of RLEs none of which has no text."""

    def owner(place: int) -> int:
        return int(rows[np.searchsorted(starts, place, "right") - 1])

    odd = (text < _FIRST) | (text > _LAST)
    if odd.any():
        raise Damaged(owner(int(np.argmax(odd))), "has RLE counts that are not COCO's text", _RLE)
    last = (text - _FIRST) & 32 == 0
    if not last[starts[1:] - 1].all():
        wrong = int(np.argmin(last[starts[1:] - 1]))
        raise Damaged(int(rows[wrong]), "has RLE counts that break off", "restore the file")
    ends = np.flatnonzero(last) + 1
    firsts = np.append(0, ends[:-1])
    if (ends - firsts).max() > _LONGEST:
        wrong = int(firsts[np.argmax(ends - firsts)])
        raise Damaged(owner(wrong), "has RLE counts that are not COCO's text", _RLE)
    lengths = _run_lengths(_numbers(text, firsts, ends), np.searchsorted(firsts, starts))
    area = sizes[rows].prod(axis=1)
    begin = np.searchsorted(firsts, starts[:-1])
    found = np.add.reduceat(lengths, begin)
    least = np.minimum.reduceat(lengths, begin)
    if (least < 0).any():
        raise Damaged(int(rows[np.argmax(least < 0)]), "has RLE counts below 0", _RLE)
    if (found != area).any():
        wrong = int(np.argmax(found != area))
        raise Damaged(int(rows[wrong]), *_unequal(int(found[wrong]), *sizes[rows[wrong]].tolist()))


def _numbers(text: NDArray[np.uint8], firsts: Ints, ends: Ints) -> Ints:
    """What each group of characters stands for: 5 bits each, lowest first, signed."""
    bits = (text - _FIRST).astype(np.int64)
    place = 5 * (np.arange(len(text)) - np.repeat(firsts, ends - firsts))
    values = np.add.reduceat((bits & 31) << place, firsts)
    negative = bits[ends - 1] & 16 != 0
    return np.where(negative, values - (np.int64(1) << 5 * (ends - firsts)), values)


def _run_lengths(numbers: Ints, starts: Ints) -> Ints:
    """The runs of RLEs whose text has their differences to the run but one before, from the fourth
    on; ``starts``, (r + 1,), is where each RLE begins.
    """
    lengths = np.diff(starts)
    place = np.arange(len(numbers)) - np.repeat(starts[:-1], lengths)
    found = numbers.copy()
    for at, counts in ((place % 2 == 1, lengths // 2), (place % 2 == 0, (lengths - 1) // 2)):
        chosen = np.flatnonzero(at & (place > 0))
        summed = np.cumsum(numbers[chosen])
        before = np.concatenate((np.zeros(1, np.int64), summed))[np.cumsum(counts) - counts]
        found[chosen] = summed - np.repeat(before, counts)
    return found


def _unequal(found: int, height: int, width: int) -> tuple[str, str]:
    return (
        f"has RLE counts that add up to {found} pixels in an image of {width}x{height} "
        f"({height * width})",
        _RLE,
    )


def _starts(lengths: Ints) -> Ints:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", dict: "an object", type(None): "null"}
    return names.get(type(value), "a list" if isinstance(value, list) else "a number")
