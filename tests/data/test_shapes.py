import hashlib
import multiprocessing
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from detbench import data
from detbench.data import kinds, shapes_draw, shapes_plan
from detbench.data import scenes as shapes
from detbench.data.draws import Draws
from detbench.data.scenes import Shapes
from detbench.data.shapes_variants import CONTEXTS, VARIANTS
from detbench.errors import DataError

# sha256 of image bytes, boxes and labels. A change here is a change of the data set: every stored
# number measured on it becomes incomparable, so raise the data set's version with it.
GOLDEN = {
    ("train", 128, "easy", 0): "934cc8100874dc90",
    ("train", 128, "easy", 7): "1fde566a29081eb9",
    ("val", 128, "full", 3): "d3b741d2fd58f10d",
    ("train", 512, "full", 0): "6b9e3e563ba5f106",
    ("val", 512, "full", 1): "ef8686ce39588ff9",
    ("val", 333, "easy", 2): "39eefb1527253b1c",
    ("train", 128, "covered", 5): "15771d18218e76a8",
    ("val", 128, "covered", 1): "fd1435b7a491cf26",
}


def fingerprint(split: str, size: int, variant: str, index: int) -> str:
    sample = Shapes(split, index + 1, size, variant).sample(index)
    digest = hashlib.sha256(sample.image.numpy().tobytes())
    digest.update(sample.boxes.numpy().astype("<f4").tobytes())
    digest.update(sample.labels.numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(("scene", "digest"), GOLDEN.items(), ids=str)
def test_scenes_are_the_same_everywhere(scene, digest):
    assert fingerprint(*scene) == digest


def images(dataset):
    return {dataset.sample(index).image.numpy().tobytes() for index in range(len(dataset))}


def test_training_scenes_by_seed(tmp_path):
    """Each seed has its own, none of the fixed ones or of val; val is the same for all."""
    fixed = kinds.Shapes(kind="shapes", size=48, train=6, val=6)
    drawn = fixed.model_copy(update={"scenes": "by-seed"})
    sets = [data.load(fixed, "train", tmp_path), data.load(fixed, "val", tmp_path)]
    sets += [data.load(drawn, "train", tmp_path, seed) for seed in (0, 1, 2, 2**40)]
    assert len(set.union(*map(images, sets))) == 36
    assert images(data.load(fixed, "train", tmp_path, 3)) == images(sets[0])
    assert images(data.load(drawn, "val", tmp_path, 3)) == images(sets[1])
    again = data.load(drawn, "train", tmp_path, 2)
    assert images(again) == images(sets[4])
    assert again.annotations(0).boxes.tolist() == sets[4].sample(0).boxes.tolist()
    first = sets[3].sample(0).image.numpy().tobytes()
    assert hashlib.sha256(first).hexdigest()[:16] == "5112544c0ad23a16"


def test_same_in_another_process():
    scene = ("val", 128, "full", 5)
    code = f"import test_shapes as t; print(t.fingerprint(*{scene!r}))"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=__file__.rsplit("/", 1)[0], capture_output=True, text=True)
    assert run.stdout.strip() == fingerprint(*scene), run.stderr
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(fingerprint, scene) == fingerprint(*scene)


def test_order_of_use_and_cache_change_nothing():
    a, b = Shapes("val", 4, 64), Shapes("val", 4, 64)
    first = [a.sample(i) for i in range(4)]
    b.ground_truth()
    again = [b.sample(i) for i in (3, 1, 1, 0, 2)]
    for index, sample in zip((3, 1, 1, 0, 2), again, strict=True):
        assert (sample.image == first[index].image).all()
        assert (sample.boxes == first[index].boxes).all()
        assert sample.image_id == index + 1
    sent = pickle.loads(pickle.dumps(a))
    assert (sent.sample(2).image == first[2].image).all()


def test_no_scene_is_drawn_twice():
    seen = set()
    for split in ("train", "val"):
        for variant in ("full", "easy", "covered"):
            dataset = Shapes(split, 40, 32, variant)
            seen |= {dataset.sample(i).image.numpy().tobytes() for i in range(40)}
    assert len(seen) == 240


@pytest.fixture(scope="module")
def truth():
    return Shapes("train", 300, 512).ground_truth()


def test_sizes_are_cocos(truth):
    areas = np.array([a["area"] for a in truth["annotations"]])
    small, large = (areas < 32**2).mean(), (areas > 96**2).mean()
    assert 0.2 < small < 0.6
    assert 0.12 < large < 0.5
    assert 1 - small - large > 0.2
    assert areas.min() >= 9


def test_every_class_is_about_as_frequent(truth):
    labels = [a["category_id"] for a in truth["annotations"]]
    counts = np.bincount(labels, minlength=13)[1:]
    assert len(counts) == len(truth["categories"]) == 12
    assert counts.min() > 0.4 * counts.mean()
    per_image = np.bincount([a["image_id"] for a in truth["annotations"]])[1:]
    assert per_image.min() >= 1
    assert per_image.mean() > 5


def test_boxes_are_inside_and_overlap(truth):
    boxes = np.array([a["bbox"] for a in truth["annotations"]])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 512).all()
    areas = np.array([a["area"] for a in truth["annotations"]])
    assert (areas <= boxes[:, 2] * boxes[:, 3]).all()
    images = np.array([a["image_id"] for a in truth["annotations"]])
    overlapping = sum(_any_overlap(boxes[images == i]) for i in range(1, 301))
    assert overlapping > 100


def _any_overlap(boxes):
    left, right = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    meet = np.minimum(right, right.swapaxes(0, 1)) - np.maximum(left, left.swapaxes(0, 1))
    return np.triu((meet > 0).all(axis=2), 1).any()


def _discs(variant):
    found = {name: [] for name in CONTEXTS}
    for index in range(1500):
        scene = shapes_plan.plan(Draws(9, index), 512, VARIANTS[variant])
        for thing in scene.things:
            if thing.label is not None and thing.label >= 9:
                found[CONTEXTS[thing.label - 9]].append(thing)
    return found


@pytest.mark.parametrize("variant", ["full", "easy", "covered"])
def test_only_context_tells_discs_apart(variant):
    found = _discs(variant)
    bodies = {name: [thing.body for thing in things] for name, things in found.items()}
    for look in (
        lambda part: part.radius,
        lambda part: part.colours[0][0],
        lambda part: part.colours[0][2],
        lambda part: part.rim,
        lambda part: part.texture == "plain",
        lambda part: part.x,
        lambda part: part.direction,
    ):
        means = [np.mean([look(part) for part in parts]) for parts in bodies.values()]
        spread = np.std([look(part) for parts in bodies.values() for part in parts])
        sizes = min(len(parts) for parts in bodies.values())
        assert max(means) - min(means) < 5 * spread / sizes**0.5 + 1e-9
    assert {part.outline for parts in bodies.values() for part in parts} == {"disc"}
    marks = {name: {t.parts[0].outline for t in things} for name, things in found.items()}
    assert marks == {"alone": {"disc"}, "framed": {"frame"}, "stemmed": {"stem"}}


def test_nothing_stands_in_the_context_of_a_disc():
    for index in range(300):
        scene = shapes_plan.plan(Draws(4, index), 512, VARIANTS["full"])
        discs = [t for t in scene.things if t.label is not None and t.label >= 9]
        marks = [
            t.body for t in scene.things if t.label is None and t.body.outline in ("frame", "stem")
        ]
        for disc in discs:
            for mark in marks:
                apart = np.hypot(disc.body.x - mark.x, disc.body.y - mark.y)
                assert apart > mark.radius + disc.body.radius


def test_textures_differ_in_nothing_else():
    outlines = {
        thing.body.outline
        for index in range(200)
        for thing in shapes_plan.plan(Draws(1, index), 256, VARIANTS["full"]).things
        if thing.label in (6, 7, 8)
    }
    assert outlines == {"square"}


def test_colour_says_nothing_in_full_and_something_in_easy():
    def hue_spread(variant):
        means = []
        for label in range(6):
            parts = [
                thing.body.colours[0]
                for index in range(400)
                for thing in shapes_plan.plan(Draws(2, index), 128, VARIANTS[variant]).things
                if thing.label == label
            ]
            means.append(np.mean(parts, axis=0))
        return np.std(means, axis=0).max()

    assert hue_spread("full") < 12
    assert hue_spread("easy") > 30


def test_objects_grow_with_the_scene():
    sides = []
    for size in (64, 512):
        boxes = [a["bbox"] for a in Shapes("val", 60, size, "easy").ground_truth()["annotations"]]
        sides.append(np.mean([max(b[2:]) for b in boxes]) / size)
    assert abs(sides[0] - sides[1]) < 0.03


@pytest.mark.parametrize("size", [32, 33, 100, 417])
def test_any_size(size):
    dataset = Shapes("train", 12, size)
    for index in range(12):
        sample = dataset.sample(index)
        assert sample.image.shape == (3, size, size)
        assert len(sample.boxes) >= 1
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
        assert sample.boxes.max() <= size


def test_box_is_tight_around_its_object():
    part = shapes_plan.Part("disc", "plain", 30.0, 40.0, 10.0, 5, 1.0, ((255, 0, 0),) * 2)
    coverage = shapes_draw.cover(part, 64)
    image = np.zeros((3, 64, 64), np.float32)
    shapes_draw.paint(image, part, coverage)
    rows, columns = np.nonzero(image[0] > 127)
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (20, 40, 30, 50)
    assert image[1:].max() == 0
    assert abs(np.count_nonzero(image[0] > 127) - np.pi * 100) < 8


@pytest.mark.parametrize("outline", sorted(shapes_draw._OUTLINES))
def test_outlines_stay_within_their_radius_whatever_the_rotation(outline):
    for direction in range(0, 64, 5):
        part = shapes_plan.Part(outline, "plain", 64.0, 64.0, 40.0, direction, 1.0, ((9,) * 3,) * 2)
        coverage = shapes_draw.cover(part, 128)
        far = np.hypot(coverage.u, coverage.v) > 41.5
        assert coverage.alpha.max() == 1
        assert not (coverage.alpha[far] > 0.5).any()


def test_the_trigonometric_table_is_far_from_a_tie():
    """No library's last bit can change how a sine rounds."""
    exact = np.cos(2 * np.pi * np.arange(64) / 64) * 1024
    assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-3


def test_ground_truth_is_what_samples_say():
    dataset = Shapes("val", 5, 96)
    truth = dataset.ground_truth()
    for index in range(5):
        sample = dataset.sample(index)
        rows = [a for a in truth["annotations"] if a["image_id"] == sample.image_id]
        boxes = np.array([a["bbox"] for a in rows])
        boxes[:, 2:] += boxes[:, :2]
        assert (boxes == sample.boxes.numpy()).all()
        labels = [dataset.categories[label].id for label in sample.labels.tolist()]
        assert labels == [a["category_id"] for a in rows]
    assert len({a["id"] for a in truth["annotations"]}) == len(truth["annotations"])


def test_load_takes_the_recipe(tmp_path):
    spec = kinds.Shapes(kind="shapes", size=64, train=3, val=2, variant="easy")
    train, val = (data.load(spec, split, tmp_path) for split in ("train", "val"))
    assert (len(train), len(val)) == (3, 2)
    assert train.sizes == [(64, 64)] * 3
    assert [c.name for c in train.categories][:2] == ["triangle", "star"]
    assert [c.id for c in train.categories] == list(range(1, 13))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "shapes version 2 cannot be drawn .* set data.version = 1"),
        ({"size": 31}, "size 31 would be too small .* 32 or more"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path, change, message):
    spec = kinds.Shapes(kind="shapes", **change)
    with pytest.raises(DataError, match=message):
        data.load(spec, "train", tmp_path)


def test_what_is_hidden_is_drawn_whether_annotated_or_not():
    variant = VARIANTS["covered"]
    for index in range(200):
        planned = [
            thing.body
            for thing in shapes_plan.plan(Draws(3, index, 0), 128, variant).things
            if thing.label is not None
        ]
        _, layers, kept = shapes._arrange((3,), index, 128, variant)
        drawn = [layer[-1][0] for layer in layers]
        assert all(body in drawn for body in planned)
        assert 1 <= len(kept) <= len(planned)


def annotated(**change):
    """The objects of 200 scenes by one annotator."""
    faultless = {"guessed": 1.0, "overlooked": 0.0, "cropped": 0.0}
    variant = replace(VARIANTS["covered"], **faultless | change)
    return [shapes._annotate(shapes._arrange((3,), index, 128, variant)[2]) for index in range(200)]


def count(scenes):
    return sum(len(scene.labels) for scene in scenes)


def test_annotators_overlook_objects_and_guess_hidden_ones():
    everything = count(annotated())
    seen = count(annotated(guessed=0.0))
    assert 0.2 < 1 - seen / everything < 0.4  # those hidden, by what they or their context show
    half = count(annotated(guessed=0.5))
    assert abs((half - seen) / (everything - seen) - 0.5) < 0.15
    assert abs(count(annotated(overlooked=0.3)) / (everything - 0.3 * seen) - 1) < 0.05
    assert count(annotated(guessed=0.0, overlooked=1.0)) == 200  # one remains of every scene


def test_annotators_crop_to_what_is_seen():
    sizes = {}
    for share in (0.0, 0.5, 1.0):
        scenes = annotated(cropped=share)
        sizes[share] = np.concatenate([scene.areas for scene in scenes])
        for scene in scenes:
            left, top, right, bottom = scene.boxes.T
            assert ((right > left) & (bottom > top)).all()
            assert (scene.areas <= (right - left) * (bottom - top)).all()
    smaller = sizes[1.0] < sizes[0.0]
    assert (sizes[1.0] <= sizes[0.0]).all()
    assert 0.3 < smaller.mean() < 0.9
    assert abs((sizes[0.5] < sizes[0.0]).sum() / smaller.sum() - 0.5) < 0.1


def test_the_hue_of_a_class_does_not_tell_the_context_of_a_disc():
    """Where classes have hues, two of the same outline may differ, and discs may not."""
    planner = shapes_plan._Planner(Draws(1), 128, VARIANTS["covered"], (90, 90, 90))
    own = [planner._hue(label) for label in range(12)]
    assert len(set(own[:9])) == 9
    assert len(set(own[9:])) == 1
    assert own[9] not in own[:9]


def test_things_stand_near_upright_where_the_variant_says_so():
    def turned(variant):
        plans = (shapes_plan.plan(Draws(5, index), 128, VARIANTS[variant]) for index in range(100))
        bodies = [t.body for p in plans for t in p.things if t.label is not None and t.label < 9]
        return [min(body.direction, 64 - body.direction) for body in bodies]

    assert max(turned("covered")) == 6
    assert max(turned("easy")) == 32


@pytest.mark.parametrize("variant", ["full", "easy", "covered"])
def test_a_box_is_that_of_its_mask(variant):
    plain, masked = Shapes("val", 12, 96, variant), Shapes("val", 12, 96, variant)
    masked.masks = True
    without = plain.ground_truth()["annotations"]
    found = masked.ground_truth()["annotations"]
    assert without == [
        {key: value for key, value in one.items() if key != "segmentation"} for one in found
    ]
    for index in range(12):
        before, sample = plain.sample(index), masked.sample(index)
        assert before.masks is None
        assert (before.image == sample.image).all()
        assert (before.boxes == sample.boxes).all()
        own = [one for one in found if one["image_id"] == index + 1]
        for mask, box, one in zip(sample.masks, sample.boxes, own, strict=True):
            y, x = torch.nonzero(mask, as_tuple=True)
            assert [x.min(), y.min(), x.max() + 1, y.max() + 1] == box.tolist()
            assert mask.sum() == one["area"]
            assert rle.area(one["segmentation"]) == one["area"]
            assert rle.iou([one["segmentation"]], [rle.encode(fortran(mask))], [0]) == 1


def fortran(mask):
    return np.asfortranarray(mask.numpy())
