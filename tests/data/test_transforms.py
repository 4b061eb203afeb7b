import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from detbench.data import Sample, transforms
from detbench.recipe.model import Pixels


def sample(height=48, width=64, boxes=((4.0, 8.0, 20.0, 40.0),), seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return Sample(image, torch.tensor(boxes).reshape(-1, 4), torch.zeros(len(boxes)).long(), 1)


@pytest.mark.parametrize(
    ("size", "short", "long", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),  # as MMDetection prints for COCO
        ((640, 480), 800, 1333, (1067, 800)),
        ((427, 640), 800, 1333, (800, 1199)),
        ((200, 640), 800, 1333, (417, 1333)),
        ((128, 128), 128, 128, (128, 128)),
        ((1, 5000), 800, 1333, (1, 1333)),
    ],
)
def test_scaled_size(size, short, long, expected):
    assert transforms.scaled_size(*size, short, long) == expected


def bilinear(image, height, width):
    """OpenCV's rule: pixel centres, edge repeated, no antialiasing."""
    weights = []
    for old, new in zip(image.shape[-2:], (height, width), strict=True):
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.minimum(at.astype(int), old - 2)
        matrix = np.zeros((new, old))
        matrix[np.arange(new), low] = 1 - (at - low)
        matrix[np.arange(new), low + 1] = at - low
        weights.append(matrix)
    return np.einsum("yh,chw,xw->cyx", weights[0], image.numpy().astype(float), weights[1])


@pytest.mark.parametrize(("short", "long"), [(96, 500), (20, 30), (31, 500)])
def test_resize_is_opencvs(short, long):
    original = sample()
    scaled, scale = transforms.resize(original, short, long)
    height, width = transforms.scaled_size(48, 64, short, long)
    assert scaled.image.shape == (3, height, width)
    assert scaled.image.dtype == torch.uint8
    difference = scaled.image.numpy() - bilinear(original.image, height, width)
    assert np.abs(difference).max() <= 1
    assert scale == (width / 64, height / 48)
    expected = original.boxes * torch.tensor([scale[0], scale[1]] * 2)
    torch.testing.assert_close(scaled.boxes, expected)
    assert type(scaled.boxes) is torch.Tensor


def test_resize_leaves_what_fits():
    original = sample()
    same, scale = transforms.resize(original, 48, 64)
    assert same is original
    assert scale == (1.0, 1.0)


def test_flip_moves_boxes_with_their_pixels():
    original = sample(boxes=())
    original.image.zero_()
    original.image[:, 10:20, 3:9] = 255
    marked = Sample(original.image, torch.tensor([[3.0, 10.0, 9.0, 20.0]]), original.labels, 1)
    flipped = transforms.flip(marked)
    x1, y1, x2, y2 = (int(v) for v in flipped.boxes[0])
    assert (flipped.image[:, y1:y2, x1:x2] == 255).all()
    assert flipped.image.sum() == 255 * 3 * 60
    twice = transforms.flip(flipped)
    assert (twice.image == marked.image).all()
    assert (twice.boxes == marked.boxes).all()
    assert (marked.image[:, 10:20, 3:9] == 255).all()


def test_no_boxes():
    empty = sample(boxes=())
    scaled, _ = transforms.resize(empty, 96, 200)
    assert transforms.flip(scaled).boxes.shape == (0, 4)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("others", [[], [(48, 64)], [(20, 80)]])
def test_normalise(order, others):
    pixels = Pixels(order=order, mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0))
    images = [sample().image] + [sample(*size).image for size in others]
    height = 64 if not others else -(-max(48, others[0][0]) // 16) * 16
    batch = transforms.normalise(images, pixels, 16)
    width = max(image.shape[-1] for image in images)
    assert batch.shape == (len(images), 3, height if others else 48, width)
    for place, image in zip(batch, images, strict=True):
        h, w = image.shape[-2:]
        for channel in range(3):
            source = image[channel if order == "rgb" else 2 - channel].float()
            expected = (source - (10, 20, 30)[channel]) / (1, 2, 4)[channel]
            torch.testing.assert_close(place[channel, :h, :w], expected)
        assert (place[:, h:] == 0).all()
        assert (place[:, :, w:] == 0).all()


def test_normalise_pads_to_a_multiple():
    assert transforms.normalise([sample(33, 65).image], Pixels(), 32).shape == (1, 3, 64, 96)


def masked(height=48, width=64, count=3, seed=0):
    one = sample(height, width, boxes=[(1.0, 2.0, 9.0, 9.0)] * count)
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 2, (count, height, width), generator=generator, dtype=torch.uint8)
    return replace(one, masks=masks)


def nearest(mask, height, width):
    """OpenCV's INTER_NEAREST, pixel by pixel: the old pixel floor(i * (1 / (new / old)))."""
    old_height, old_width = mask.shape
    found = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            row = min(math.floor(y * (1 / (height / old_height))), old_height - 1)
            column = min(math.floor(x * (1 / (width / old_width))), old_width - 1)
            found[y, x] = mask[row, column]
    return found


@pytest.mark.parametrize(("short", "long"), [(96, 500), (20, 30), (31, 500), (7, 9)])
def test_masks_are_resized_to_the_nearest_pixel(short, long):
    original = masked()
    scaled, _ = transforms.resize(original, short, long)
    assert scaled.masks.dtype == torch.uint8
    assert scaled.masks.shape[1:] == scaled.image.shape[1:]
    for before, after in zip(original.masks, scaled.masks, strict=True):
        expected = nearest(before.numpy(), *scaled.image.shape[1:])
        np.testing.assert_array_equal(after.numpy(), expected)


def test_masks_are_mirrored_with_their_pixels():
    original = masked()
    flipped = transforms.flip(original)
    width = original.image.shape[2]
    for x in range(width):
        assert (flipped.masks[:, :, x] == original.masks[:, :, width - 1 - x]).all()
        assert (flipped.image[:, :, x] == original.image[:, :, width - 1 - x]).all()


def test_an_image_without_objects_has_no_masks():
    scaled, _ = transforms.resize(masked(count=0), 96, 200)
    assert transforms.flip(scaled).masks.shape == (0, 96, 128)
    assert transforms.resize(sample(), 96, 200)[0].masks is None
