"""Augmentation by torchvision's transforms: what becomes of boxes and masks, what it depends on."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from detbench.data import Sample
from detbench.data.augmentation import Augmentation
from detbench.data.draws import Draws
from detbench.data.kinds import Shapes
from detbench.data.loading import Processes, TrainLoader, as_trained_on
from detbench.errors import DataError, RecipeError
from detbench.recipe import resolve
from detbench.recipe.augment import GEOMETRY, TRANSFORMS, Augment
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels

GIVEN: dict[str, dict[str, Any]] = {
    "ColorJitter": {"brightness": 0.4, "contrast": [0.5, 1.5], "saturation": 0.4, "hue": 0.1},
    "RandomPhotometricDistort": {"brightness": [0.5, 1.5], "hue": [-0.1, 0.1], "p": 1.0},
    "RandomGrayscale": {"p": 1.0},
    "RandomInvert": {"p": 1.0},
    "RandomPosterize": {"bits": 2, "p": 1.0},
    "RandomSolarize": {"threshold": 100, "p": 1.0},
    "RandomAdjustSharpness": {"sharpness_factor": 3, "p": 1.0},
    "RandomAutocontrast": {"p": 1.0},
    "RandomEqualize": {"p": 1.0},
    "RandomChannelPermutation": {},
    "GaussianBlur": {"kernel_size": [3, 5], "sigma": [1, 2]},
    "RandomErasing": {"p": 1.0, "scale": [0.1, 0.2], "ratio": [0.5, 2], "value": 99},
    "RandomHorizontalFlip": {"p": 1.0},
    "RandomVerticalFlip": {"p": 1.0},
    "RandomIoUCrop": {"min_scale": 0.3, "sampler_options": [0.0, 0.5, 1.0], "trials": 20},
    "RandomZoomOut": {"side_range": [1.5, 2], "fill": [1, 2, 3], "p": 1.0},
    "RandomCrop": {"size": [40, 50], "pad_if_needed": True, "fill": 114},
    "CenterCrop": {"size": 50},
    "RandomResizedCrop": {"size": [60, 50], "scale": [0.3, 0.6], "ratio": [0.5, 2]},
    "Pad": {"padding": [1, 2, 3, 4], "fill": 114},
    "Resize": {"size": [33, 47]},
    "ScaleJitter": {"target_size": [96, 96], "scale_range": [0.5, 0.9], "antialias": False},
    "RandomShortestSize": {"min_size": [40, 48], "max_size": 60},
    "RandomResize": {"min_size": 40, "max_size": 50},
    "RandomRotation": {"degrees": 30, "expand": True, "fill": 114},
    "RandomAffine": {"degrees": 5, "translate": [0.1, 0.1], "scale": [0.8, 1.2], "shear": 5},
    "RandomPerspective": {"distortion_scale": 0.3, "p": 1.0, "fill": 9},
}


def chosen(name: str, **more: Any) -> Augment:
    return Augment(name=name, arguments=GIVEN[name], **more)


def made() -> Sample:
    """Two objects of one colour each on a ramp, and their masks."""
    image = (torch.arange(64)[:, None] + torch.arange(80)[None]).expand(3, -1, -1).byte().clone()
    image[1] += 9
    boxes = torch.tensor([[8.0, 10, 30, 40], [50, 30, 70, 55]])
    masks = torch.zeros(2, 64, 80, dtype=torch.uint8)
    for box, mask, colour in zip(boxes.long().tolist(), masks, (200, 250), strict=True):
        left, top, right, bottom = box
        mask[top:bottom, left:right] = 1
        image[:, top:bottom, left:right] = colour
    return Sample(image, boxes, torch.tensor([3, 5]), 7, masks)


def test_every_argument_is_torchvisions() -> None:
    """The other ones of torchvision's are left out on purpose: interpolation, centre, modes."""
    out = {"interpolation", "padding_mode", "padding", "center", "max_size", "inplace", "antialias"}
    assert set(GIVEN) == set(TRANSFORMS)
    for name, known in TRANSFORMS.items():
        has = set(inspect.signature(getattr(v2, name).__init__).parameters) - {"self"}
        assert set(known) <= has, name
        assert has - set(known) <= out, name


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("masks", [True, False])
def test_boxes_labels_and_masks_go_together(name: str, masks: bool) -> None:
    sample = made()
    if not masks:
        sample = Sample(sample.image, sample.boxes, sample.labels, 7)
    augment = pickle.loads(pickle.dumps(Augmentation([chosen(name)])))
    changed = 0
    for epoch in range(8):
        before = torch.get_rng_state()
        found = augment(sample, Draws(0, epoch))
        assert torch.equal(torch.get_rng_state(), before)
        assert found.image.dtype == torch.uint8
        assert found.image.shape[0] == 3
        assert type(found.image) is type(found.boxes) is torch.Tensor
        assert len(found.boxes) == len(found.labels) <= 2
        height, width = found.image.shape[-2:]
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([width, height] * 2)).all()
        assert ((found.boxes[:, 2:] - found.boxes[:, :2]) >= 1).all()
        if masks:
            assert found.masks is not None
            assert found.masks.shape == (len(found.boxes), height, width)
            assert found.masks.max() <= 1
            for box, mask in zip(found.boxes, found.masks, strict=True):
                rows, columns = torch.where(mask)  # a mask lies in its box
                if len(rows):
                    assert columns.min() >= box[0] - 2
                    assert rows.min() >= box[1] - 2
                    assert columns.max() <= box[2] + 2
                    assert rows.max() <= box[3] + 2
        else:
            assert found.masks is None
        changed += not torch.equal(found.image, sample.image)
        if name not in GEOMETRY:
            assert torch.equal(found.boxes, sample.boxes)
    assert changed >= 4
    assert torch.equal(sample.image, made().image)  # data sets may keep what they gave


def test_a_box_that_a_crop_leaves_out_goes_with_its_label_and_mask() -> None:
    crop = Augment(name="CenterCrop", arguments={"size": [64, 12]})  # columns 34 to 46: between
    found = Augmentation([crop])(made(), Draws(0))
    assert found.image.shape == (3, 64, 12)
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == (0,)
    assert found.masks is not None
    assert found.masks.shape == (0, 64, 12)
    wide = Augment(name="CenterCrop", arguments={"size": [64, 30]})  # columns 25 to 55
    both = Augmentation([wide])(made(), Draws(0))
    assert both.boxes.tolist() == [[0, 10, 5, 40], [25, 30, 30, 55]]
    right = Augmentation([Augment(name="CenterCrop", arguments={"size": [64, 20]})])
    found = right(made(), Draws(0))  # columns 30 to 50: the boxes touch it, and no more
    assert len(found.boxes) == 0


@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_object_at_all(name: str) -> None:
    sample = made()
    masks = torch.zeros(0, 64, 80, dtype=torch.uint8)
    empty = Sample(sample.image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 7, masks)
    found = Augmentation([chosen(name)])(empty, Draws(1))
    assert found.boxes.shape == (0, 4)
    assert found.masks is not None
    assert found.masks.shape == (0, *found.image.shape[-2:])


def test_what_torchvision_cannot_do_names_image_and_transform() -> None:
    blur = Augment(name="GaussianBlur", arguments={"kernel_size": 31})
    sample = made()
    small = Sample(sample.image[:, :4, :4], sample.boxes[:0], sample.labels[:0], 7)
    with pytest.raises(DataError, match=r"image 7: GaussianBlur: .*; mend training\.input\.aug"):
        Augmentation([blur])(small, Draws(0))


SCENES = Shapes(kind="shapes", size=64, train=12, val=4, variant="easy")
MANY = Input(
    short=(64, 80),
    long=96,
    flip=0.5,
    augment=(
        chosen("ColorJitter", probability=0.7),
        chosen("RandomIoUCrop", probability=0.6),
        chosen("ScaleJitter", at="scaled"),
        chosen("RandomCrop", at="scaled"),
    ),
)


def batches(workers: int, start: int, count: int) -> list[tuple[torch.Tensor, ...]]:
    opened = SCENES.open("train", None)  # type: ignore[arg-type]
    loader = TrainLoader(opened, MANY, Pixels(), 4, 5, Processes(workers=workers))
    stream = loader.batches(start)
    found = []
    for _ in range(count):
        torch.rand(3)  # what training draws
        one = next(stream)
        found.append((one.images, one.targets.boxes, one.targets.labels))
    stream.close()
    return found


def test_resumed_or_in_processes_it_is_the_same_bit_for_bit() -> None:
    whole = batches(0, 0, 6)
    for other in (batches(2, 0, 6), batches(0, 2, 4), batches(2, 4, 2)):
        for one, again in zip(whole[-len(other) :], other, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(one, again, strict=True))
    assert not torch.equal(whole[0][0], whole[3][0])


def test_epochs_differ_and_what_is_drawn_beside_it_stays() -> None:
    """Scale and flip are those of training without augmentation."""
    opened = SCENES.open("train", None)  # type: ignore[arg-type]
    plain = MANY.model_copy(update={"augment": ()})
    colour = MANY.model_copy(update={"augment": (chosen("RandomInvert", at="scaled"),)})
    for epoch in range(6):
        before, after = (as_trained_on(opened, one, 3, epoch) for one in (plain, colour))
        assert torch.equal(255 - before.image, after.image)
        assert torch.equal(before.boxes, after.boxes)
    seen = [as_trained_on(opened, MANY, 3, epoch).image for epoch in range(4)]
    assert len({one.numpy().tobytes() for one in seen}) == 4


WRONG = [
    ('{ name = "ColourJitter" }', "unknown transform 'ColourJitter', did you mean 'ColorJitter'?"),
    ('{ name = "Normalize" }', "unknown transform 'Normalize'"),
    ('{ name = "ColorJitter", arguments = { bright = 1 } }', "ColorJitter: unknown argument 'brig"),
    ('{ name = "ColorJitter", arguments = { brightness = "a" } }', "brightness takes a number or"),
    ('{ name = "ColorJitter", arguments = { brightness = -1 } }', "brightness is from 0 to 16"),
    ('{ name = "ColorJitter", arguments = { contrast = [2, 1] } }', "is a range, and 2 is more"),
    ('{ name = "ColorJitter", arguments = { hue = 0.6 } }', "hue is from 0 to 0.5"),
    ('{ name = "ColorJitter", probability = 2 }', "probability"),
    ('{ name = "RandomPosterize" }', "RandomPosterize: bits is required: it takes a whole number"),
    ('{ name = "GaussianBlur", arguments = { kernel_size = 4 } }', "kernel_size is odd"),
    ('{ name = "RandomCrop", arguments = { size = 9 } }', "pad_if_needed = true is needed"),
    ('{ name = "RandomCrop", arguments = { size = 99999 } }', "size is from 1 to 16384"),
    ('{ name = "RandomIoUCrop", arguments = { min_scale = 1, max_scale = 0.5 } }', "is more than"),
    ('{ name = "RandomIoUCrop", arguments = { sampler_options = [0.1, 0.5] } }', "is 1, to leave"),
    ('{ name = "ScaleJitter", arguments = { target_size = [9, 9] } }', "is undone by the scaling"),
    (
        '{ name = "ScaleJitter", arguments = { target_size = [16384, 9] }, at = "scaled" }',
        "it would make images of 32768 pixels",
    ),
    (
        '{ name = "RandomResize", arguments = { min_size = 9, max_size = 9 }, at = "scaled" }',
        "max_size is more than min_size",
    ),
    ('{ name = "RandomInvert", at = "scaled" }, { name = "RandomInvert" }', "come first"),
    ('{ name = "RandomInvert", at = "late" }', "at"),
    ("{ arguments = { p = 1 } }", "required"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_mistake_is_one_line_when_the_recipe_is_read(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve.cell("fcos-r50", "smoke", 0, [f"training.input.augment=[{text}]"])
    assert said in str(caught.value)
    assert len(caught.value.mistakes) == 1
    assert "\n" not in str(caught.value)


def test_it_is_part_of_the_digest_only_where_it_is_there() -> None:
    from detbench.recipe.digest import canonical, digest

    def cell(*changes: str) -> Any:
        return resolve.cell("fcos-r50", "smoke", 0, changes).cell

    plain, crop = cell(), cell('training.input.augment=[{ name = "RandomIoUCrop" }]')
    assert "augment" not in canonical(plain)
    assert digest(cell("training.input.augment=[]")) == digest(plain)
    other = 'training.input.augment=[{ name = "RandomIoUCrop", arguments = { trials = 39 } }]'
    assert len({digest(plain), digest(crop), digest(cell(other))}) == 3
