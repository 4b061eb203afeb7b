"""Masks cropped to regions and pasted into images, against a loop over single pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from detbench.ops import masks as ops
from detbench.ops.masks import crops, paste

SIDE = 28


def read(grid: NDArray[np.float64], y: float, x: float) -> float:
    """A map at one position, 0 at the centre of its first cell, with zeros around it."""
    low_y, low_x, found = math.floor(y), math.floor(x), 0.0
    for row in (low_y, low_y + 1):
        for column in (low_x, low_x + 1):
            if 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]:
                found += grid[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return found


def pasted_slowly(mask: Tensor, box: list[float], height: int, width: int) -> NDArray[np.bool_]:
    """One mask in its image: MMDetection 3.3.0's ``_do_paste_mask`` and its threshold of 0.5."""
    grid, (left, top, right, bottom) = mask.double().numpy(), box
    found = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            y = (row + 0.5 - top) / (bottom - top) * len(grid) - 0.5
            x = (column + 0.5 - left) / (right - left) * len(grid) - 0.5
            found[row, column] = read(grid, y, x) >= 0.5
    return found


def whole(masks: Tensor, boxes: Tensor, height: int, width: int) -> NDArray[np.bool_]:
    """(D, height, width): each mask in its image."""
    found = np.zeros((len(boxes), height, width), bool)
    seen = []
    for index, left, top, mask in paste(masks, boxes, (height, width)):
        rows, columns = mask.shape
        assert 0 <= left <= left + columns <= width
        assert 0 <= top <= top + rows <= height
        found[index, top : top + rows, left : left + columns] = mask.numpy()
        seen.append(index)
    assert sorted(seen) == list(range(len(boxes)))
    return found


def smooth(count: int) -> Tensor:
    """Blobs with values on both sides of a half."""
    coarse = torch.rand(count, 1, 5, 5)
    return torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")[:, 0].clamp(0, 1)


BOXES = {
    "inside": [10.3, 5.2, 41.7, 33.9],
    "smaller than the grid": [20.1, 20.4, 27.9, 31.2],
    "around a pixel's centre": [12.2, 30.3, 12.8, 30.9],
    "between pixels' centres": [12.6, 30.6, 13.4, 31.4],
    "partly outside": [-15.5, -9.25, 20.0, 18.5],
    "beyond every edge": [-30.0, -20.0, 90.0, 75.0],
    "outside": [70.0, 5.0, 90.0, 30.0],
    "at the edges": [0.0, 0.0, 50.0, 40.0],
    "a line": [3.2, 10.4, 48.1, 10.7],
}


@pytest.mark.parametrize("name", BOXES)
def test_a_pasted_mask_is_the_loops(name: str) -> None:
    torch.manual_seed(len(name))
    height, width = 40, 50
    masks, box = smooth(1), torch.tensor([BOXES[name]])
    expected = pasted_slowly(masks[0], box[0].tolist(), height, width)
    [found] = whole(masks, box, height, width)
    assert (found == expected).all()
    assert expected.any() == (name not in ("outside", "between pixels' centres"))


@pytest.mark.parametrize("pixels", [1, 500, 2**22])
def test_many_are_pasted_as_each_alone(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks of any size; whole, and half a pixel's values as well as ones and zeros."""
    monkeypatch.setattr(ops, "PIXELS", pixels)
    torch.manual_seed(0)
    boxes = torch.tensor(list(BOXES.values()))
    for masks in (smooth(len(boxes)), smooth(len(boxes)).round()):
        found = whole(masks, boxes, 40, 50)
        for index, box in enumerate(boxes.tolist()):
            expected = pasted_slowly(masks[index], box, 40, 50)
            # The loop is in float64: a value of exactly a half may be either.
            assert (found[index] != expected).mean() < 0.002


def test_without_area_or_without_any_there_is_no_pixel() -> None:
    boxes = torch.tensor([[5.0, 5.0, 5.0, 20.0], [9.0, 20.0, 9.0, 20.0], [20.0, 9.0, 30.0, 8.0]])
    assert not whole(torch.ones(3, SIDE, SIDE), boxes, 40, 50).any()
    assert list(paste(torch.zeros(0, SIDE, SIDE), torch.zeros(0, 4), (40, 50))) == []


def test_a_full_mask_fills_its_box() -> None:
    boxes = torch.tensor([[4.0, 8.0, 20.0, 30.0], [0.0, 0.0, 50.0, 40.0]])
    found = whole(torch.ones(2, SIDE, SIDE), boxes, 40, 50)
    assert found[0, 8:30, 4:20].all()
    assert found[0].sum() == 22 * 16
    assert found[1].all()


def aligned(mask: NDArray[np.uint8], box: list[float], size: int) -> NDArray[np.float64]:
    """RoIAlign of one box, a loop: means of samples at most a pixel apart, edges held."""
    left, top, right, bottom = (edge - 0.5 for edge in box)
    height, width = (bottom - top) / size, (right - left) / size
    rows, columns = max(1, math.ceil(height)), max(1, math.ceil(width))
    found = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            total = 0.0
            for a in range(rows):
                for b in range(columns):
                    y = top + (i + (a + 0.5) / rows) * height
                    x = left + (j + (b + 0.5) / columns) * width
                    y = min(max(y, 0.0), mask.shape[0] - 1)
                    x = min(max(x, 0.0), mask.shape[1] - 1)
                    total += read(mask, y, x)
            found[i, j] = total / (rows * columns)
    return found


def made_images() -> list[Tensor]:
    """Images of different sizes with three, none and one object."""
    disc = (torch.arange(48)[:, None] - 20.0) ** 2 + (torch.arange(64) - 30.0) ** 2 < 150
    stripes = torch.arange(64).expand(48, 64) % 6 < 3
    first = torch.stack((disc, stripes, torch.zeros(48, 64, dtype=torch.bool)))
    return [first.byte(), torch.zeros(0, 30, 30, dtype=torch.uint8), disc[None, :, :40].byte()]


REGIONS = [
    (0, 0, [18.3, 9.7, 41.2, 31.8]),
    (0, 1, [2.0, 3.0, 60.0, 44.0]),
    (0, 2, [2.0, 3.0, 60.0, 44.0]),
    (0, 0, [30.2, 20.1, 30.9, 20.6]),
    (2, 0, [12.5, 8.25, 40.0, 48.0]),
]


@pytest.mark.parametrize("at_once", [1, 2**25])
def test_crops_are_the_loops(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "CROPPED", at_once)
    images = made_images()
    rois = torch.tensor([[float(image), *box] for image, _, box in REGIONS])
    objects = torch.tensor([number for _, number, _ in REGIONS])
    found = crops(images, rois, objects, [4, 0, 1], 12)
    assert found.dtype == torch.float32
    for one, (image, number, box) in zip(found, REGIONS, strict=True):
        shares = aligned(images[image][number].numpy(), box, 12)
        clear = np.abs(shares - 0.5) > 1e-4
        assert clear.mean() > 0.8
        assert (one.numpy() == (shares >= 0.5))[clear].all()
    assert [bool(one.any()) for one in found] == [True, True, False, True, True]
    assert found[3].all()  # less than a pixel, inside of the disc


def test_no_region_and_no_object() -> None:
    images = made_images()
    none = crops(images, torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), [0, 0, 0], 28)
    assert none.shape == (0, 28, 28)
