import os
import signal
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from detbench import data
from detbench.data import Category, Sample, loading
from detbench.data.by_class import ByClass
from detbench.data.kinds import Coco, Shapes
from detbench.data.loading import EvalLoader, Processes, TrainLoader, worker_deaths
from detbench.errors import DataError, ProcessLost
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_coco import make_coco

SHAPES = Shapes(kind="shapes", size=48, train=22, val=7)
INPUT = Input(short=(48,), long=48, multiple=16)
PIXELS = Pixels()


class Plain:
    """Numbered images of two aspects; every fifth has no object."""

    in_memory = False

    def __init__(self, count=23, fault=None):
        self.categories = [Category(1, "thing")]
        self.sizes = [(24, 40) if index % 3 else (40, 24) for index in range(count)]
        self.trainable = [index for index in range(count) if index % 5]
        self.fault = fault

    def __len__(self):
        return len(self.sizes)

    def sample(self, index):
        if self.fault == "error" and index == 7:
            raise DataError("image 7.jpg is damaged; restore the file")
        if self.fault == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        height, width = self.sizes[index]
        image = torch.zeros(3, height, width, dtype=torch.uint8)
        image[:, 4:8, 2:6] = index + 100
        boxes = torch.tensor([[2.0, 4.0, 6.0, 8.0]] if index % 5 else []).reshape(-1, 4)
        return Sample(image, boxes, torch.zeros(len(boxes), dtype=torch.int64), index)

    def ground_truth(self):
        return {}


def same(a, b):
    return (
        torch.equal(a.images, b.images)
        and torch.equal(a.sizes, b.sizes)
        and torch.equal(a.targets.boxes, b.targets.boxes)
        and torch.equal(a.targets.labels, b.targets.labels)
        and torch.equal(a.targets.valid, b.targets.valid)
        and (a.image_ids, a.scales, a.originals) == (b.image_ids, b.scales, b.originals)
    )


def loader(dataset=None, batch=4, seed=3, **processes):
    return TrainLoader(
        dataset or Plain(),
        Input(short=(24, 30), long=60),
        PIXELS,
        batch,
        seed,
        Processes(**{"workers": 0, **processes}),
    )


def test_batch_k_needs_nothing_of_the_batches_before():
    stream = list(islice(loader().batches(0), 13))
    for start in (1, 4, 5, 9, 12):
        for batch, expected in zip(loader().batches(start), stream[start:], strict=False):
            assert same(batch, expected)


def test_workers_change_nothing():
    stream = list(islice(loader().batches(3), 6))
    batches = loader(workers=2).batches(3)
    for expected in stream:
        assert same(next(batches), expected)
    batches.close()


def test_an_epoch_has_every_image_with_an_object_once():
    made = loader()
    assert made.iterations_per_epoch == 5  # 18 images
    stream = list(islice(made.batches(0), 15))
    orders = []
    for epoch in range(3):
        batches = stream[5 * epoch : 5 * epoch + 5]
        orders.append([i for batch in batches for i in batch.image_ids])
        assert sorted(orders[-1]) == list(Plain().trainable)
        assert [len(batch.image_ids) for batch in batches] == [4, 4, 4, 4, 2]
    assert orders[0] != orders[1]
    other = [i for batch in islice(loader(seed=4).batches(0), 5) for i in batch.image_ids]
    assert other != orders[0]


def test_batches_have_one_aspect_but_the_last():
    dataset = Plain(90)
    made = loader(dataset, batch=8)
    batches = list(islice(made.batches(0), made.iterations_per_epoch))
    mixed = [len({dataset.sizes[i] for i in batch.image_ids}) > 1 for batch in batches]
    assert not any(mixed[:-2])
    assert len(batches) == 9


def test_images_without_objects_can_be_kept():
    dataset = Plain()
    dataset.trainable = list(range(23))
    batch = next(TrainLoader(dataset, INPUT, PIXELS, 23, 0, Processes(workers=0)).batches(0))
    assert sorted(batch.image_ids) == list(range(23))
    assert not batch.targets.valid[batch.image_ids.index(5)].any()


def test_ranks_share_every_batch():
    whole = list(islice(loader().batches(0), 5))
    parts = [list(islice(loader(rank=rank, world=2).batches(0), 5)) for rank in range(2)]
    for number, batch in enumerate(whole):
        ids = [part[number].image_ids for part in parts]
        assert sorted(ids[0] + ids[1]) == sorted(batch.image_ids)
        assert len(ids[0]) - len(ids[1]) in (0, 1)
        for part, own in zip(parts, ids, strict=True):
            for place, image_id in enumerate(own):
                height, width = part[number].sizes[place].tolist()
                expected = batch.images[batch.image_ids.index(image_id), :, :height, :width]
                assert torch.equal(part[number].images[place, :, :height, :width], expected)


def test_no_rank_is_left_without_an_image():
    # 18 images in batches of 4: the last batch has 2 for 4 ranks.
    last = [next(loader(rank=rank, world=4).batches(4)).image_ids for rank in range(4)]
    assert [len(ids) for ids in last] == [1, 1, 1, 1]
    assert last[2:] == last[:2]
    spare = [next(loader(rank=rank, world=4).batches(4)).spare for rank in range(4)]
    assert spare == [False, False, True, True]
    assert not next(loader(rank=3, world=4).batches(3)).spare


def test_boxes_follow_their_pixels():
    flips = set()
    scales = set()
    for batch in islice(loader().batches(0), 10):
        for place, image_id in enumerate(batch.image_ids):
            image = batch.images[place] * torch.tensor(PIXELS.std)[:, None, None]
            image += torch.tensor(PIXELS.mean)[:, None, None]
            box = batch.targets.boxes[place, 0]
            x1, y1, x2, y2 = (int(v) for v in box.round())
            assert abs(image[0, (y1 + y2) // 2, (x1 + x2) // 2] - image_id - 100) < 1
            flips.add(bool(box[0] > batch.sizes[place, 1] / 2))
            scales.add(round(batch.scales[place][0], 2))
            assert batch.originals[place] == Plain().sizes[image_id]
    assert flips == {True, False}
    assert scales == {1.0, 1.25}


def test_flip_probability():
    for probability in (0.0, 1.0):
        setting = Input(short=(24,), long=40, flip=probability)
        made = TrainLoader(Plain(), setting, PIXELS, 18, 0, Processes(workers=0))
        boxes = next(made.batches(0)).targets.boxes
        assert (boxes[:, 0, 0] == 2).all() == (probability == 0.0)


def test_scales_from_a_range_are_whole_sides_of_their_own_for_each_image():
    """Between the smallest and the largest, both included; the same for a seed, epoch and image."""
    setting = Input(short=(30, 24, 27), long=99, draw="range", flip=0.0)

    def sides(seed, start, count):
        made = TrainLoader(Plain(), setting, PIXELS, 6, seed, Processes(workers=0))
        found = {}
        for number, batch in enumerate(islice(made.batches(start), count), start):
            for image, size in zip(batch.image_ids, batch.sizes.tolist(), strict=True):
                found[number // made.iterations_per_epoch, image] = min(size)
        return found

    every = sides(3, 0, 60)
    assert set(every.values()) == set(range(24, 31))
    assert sides(3, 7, 5).items() <= every.items()
    assert sides(4, 0, 60) != every
    test = EvalLoader(Plain(2), setting, PIXELS, 1, None, Processes(workers=0))
    assert [min(batch.sizes[0].tolist()) for batch in test] == [27, 27]


def test_evaluation_takes_every_image_in_order():
    dataset = data.load(SHAPES, "val", Path())
    made = EvalLoader(dataset, INPUT, PIXELS, 3, None)
    batches = list(made)
    assert len(made) == len(batches) == 3
    assert made.images == 7
    assert [i for batch in batches for i in batch.image_ids] == list(range(1, 8))
    assert all(batch.scales == [(1.0, 1.0)] * len(batch.image_ids) for batch in batches)
    limited = EvalLoader(dataset, INPUT, PIXELS, 3, 4)
    assert limited.images == 4
    assert [len(batch.image_ids) for batch in limited] == [3, 1]
    assert EvalLoader(dataset, INPUT, PIXELS, 3, 100).images == 7


def test_ranks_share_the_evaluation_in_the_batches_of_one_process():
    def made(rank=0, world=1):
        processes = Processes(workers=0, rank=rank, world=world)
        return EvalLoader(Plain(7), INPUT, PIXELS, 2, None, processes)

    whole = [batch.image_ids for batch in made()]
    parts = [[batch.image_ids for batch in made(rank, 3)] for rank in range(3)]
    assert parts == [whole[0::3], whole[1::3], whole[2::3]]
    assert [made(rank, 3).own for rank in range(3)] == [3, 2, 2]
    assert {made(rank, 3).images for rank in range(3)} == {7}


def test_evaluation_uses_the_last_scale():
    made = EvalLoader(
        Plain(2), Input(short=(24, 48), long=80), PIXELS, 1, None, Processes(workers=0)
    )
    assert [batch.scales[0] for batch in made] == [(2.0, 2.0)] * 2


def test_coco_through_workers(tmp_path):
    dataset = data.load(Coco(kind="coco"), "train", make_coco(tmp_path))
    setting = Input(short=(96,), long=160)
    own = TrainLoader(dataset, setting, PIXELS, 4, 0, Processes(workers=0))
    assert own.iterations_per_epoch == 2
    shared = TrainLoader(dataset, setting, PIXELS, 4, 0, Processes(workers=1)).batches(0)
    for expected in islice(own.batches(0), 4):
        assert same(next(shared), expected)
        assert expected.images.shape[2] % 32 == expected.images.shape[3] % 32 == 0
        inside = expected.sizes.flip(1)[:, None, :] + 1e-3
        assert (expected.targets.boxes[..., 2:] <= inside).all()
    shared.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_stays_one_line(workers):
    batches = loader(Plain(fault="error"), workers=workers).batches(0)
    with pytest.raises(DataError) as caught:
        list(islice(batches, 5))
    assert str(caught.value) == "image 7.jpg is damaged; restore the file"


def _youngest_child() -> psutil.Process:
    """The process that was started last: process numbers begin anew after the highest."""
    return max(psutil.Process().children(), key=lambda one: one.create_time())


def test_death_of_a_worker_is_said():
    batches = loader(Plain(fault="death"), workers=1).batches(0)
    with pytest.raises(ProcessLost, match=r"a process that loads data died \(.*memory ran out"):
        next(batches)


def test_death_of_a_worker_is_said_in_whatever_runs_then():
    batches = loader(workers=1).batches(0)
    next(batches)
    killer = threading.Timer(0.3, _youngest_child().kill)
    killer.start()
    with pytest.raises(ProcessLost, match="a process that loads data died"), worker_deaths():
        _work_on(10.0)
    killer.join()


def _work_on(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_group_is_this_processs_to_handle(number):
    """As of Ctrl-C, ``timeout`` or a cluster's scheduler: it saves first, then ends its workers."""
    batches = loader(workers=1).batches(0)
    next(batches)
    worker = _youngest_child()
    worker.send_signal(number)
    for _ in range(5):  # more than were loaded ahead
        next(batches)
    batches.close()
    worker.wait(10)


def test_closing_ends_the_workers():
    batches = loader(workers=2).batches(0)
    next(batches)
    before = len(psutil.Process().children())
    batches.close()
    assert len(psutil.Process().children()) == before - 2


def test_nothing_to_train_on():
    empty = Plain(1)
    with pytest.raises(DataError, match="no training image has an object to learn from"):
        loader(empty)
    with pytest.raises(DataError, match="a batch of 4 cannot be shared by 5 processes"):
        loader(world=5)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "reset"), BrokenPipeError(), EOFError()]
)
def test_a_process_that_dies_while_it_sends_is_lost(error: Exception) -> None:
    """As one that was frozen and then killed: the batch comes by a socket of its."""

    def batches():
        yield []
        raise error

    stream = batches()
    assert loading._next(stream) == []
    with pytest.raises(ProcessLost, match="a process that loads data died"):
        loading._next(stream)
    assert loading._next(iter(())) is None


def test_what_loading_itself_raises_is_no_death() -> None:
    def batches():
        yield from ()
        raise ConnectionResetError("Caught ConnectionResetError in DataLoader worker process 0.")

    with pytest.raises(ConnectionResetError):
        loading._next(batches())


class Classy(Plain):
    """Of three classes with an object: one image has class 0, six have class 2, all others 5."""

    def objects(self):
        """Image 1 has two objects of class 5, and its class counts once."""
        every = [(1, 5), *((index, 5) for index in self.trainable), (3, 0)]
        every += [(index, 2) for index in self.trainable[:6]]
        return (np.array(column, np.int64) for column in zip(*every, strict=True))


BY_CLASS = Input(short=(24, 30), long=60, sampling="classes")


def sampled(dataset=None, seed=3, batch=4, **processes):
    processes = Processes(**{"workers": 0, **processes})
    return TrainLoader(dataset or Classy(), BY_CLASS, PIXELS, batch, seed, processes)


def test_classes_are_drawn_alike_then_their_images():
    dataset = Classy(2300)
    images = ByClass(dataset).draw(18000, 3, 0)
    shares = np.bincount(images, minlength=2300) / len(images)
    few = dataset.trainable[:6]
    assert shares[3] == pytest.approx(1 / 3 + 1 / 18, abs=0.02)  # the only one of class 0
    assert shares[[i for i in few if i != 3]] == pytest.approx(np.full(5, 1 / 18), abs=0.01)
    of_others = shares.sum() - shares[few].sum()
    assert of_others == pytest.approx(1 / 3, abs=0.02)
    assert len(set(images.tolist())) > 1700  # nearly all of class 5
    assert sampled(dataset, batch=10).iterations_per_epoch == 184  # as images with an object


def test_drawn_batches_need_nothing_of_those_before_and_ranks_share_them():
    stream = list(islice(sampled().batches(0), 13))
    for start in (1, 4, 5, 9):
        for batch, expected in zip(sampled().batches(start), stream[start:], strict=False):
            assert same(batch, expected)
    parts = [list(islice(sampled(rank=rank, world=2).batches(0), 13)) for rank in range(2)]
    for number, batch in enumerate(stream):
        for rank in range(2):
            assert parts[rank][number].image_ids == batch.image_ids[rank::2]
    ids = [[i for batch in stream[5 * e : 5 * e + 5] for i in batch.image_ids] for e in range(2)]
    assert ids[0] != ids[1]
    other = [i for batch in islice(sampled(seed=4).batches(0), 5) for i in batch.image_ids]
    assert other != ids[0]


def test_an_image_that_is_drawn_twice_is_scaled_and_flipped_anew():
    batches = islice(sampled().batches(0), 10)
    seen = [
        (batch.scales[row], batch.targets.boxes[row, 0, 0].item())
        for batch in batches
        for row, number in enumerate(batch.image_ids)
        if number == 3
    ]
    assert len(seen) > 8
    assert len(set(seen)) == 4  # two scales, each flipped and not


@pytest.mark.parametrize("classes", [12, 1, 15])
def test_objects_of_scenes_are_those_to_learn_from(classes):
    made = data.load(SHAPES.model_copy(update={"classes": classes}), "train", Path())
    images, labels = made.objects()
    for index in range(len(made)):
        assert labels[images == index].tolist() == made.sample(index).labels.tolist()


def test_coco_by_class(tmp_path):
    dataset = data.load(Coco(kind="coco"), "train", make_coco(tmp_path))
    images, labels = dataset.objects()
    for index in range(len(dataset)):
        assert labels[images == index].tolist() == dataset.sample(index).labels.tolist()
    setting = Input(short=(96,), long=160, sampling="classes")
    batch = next(TrainLoader(dataset, setting, PIXELS, 4, 0, Processes(workers=0)).batches(0))
    assert batch.targets.valid.any(dim=1).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_come_with_their_objects(workers, tmp_path):
    dataset = data.load(SHAPES, "train", tmp_path, masks=True)
    settings = INPUT.model_copy(update={"short": (40, 72), "long": 90, "flip": 0.5})
    loader = TrainLoader(dataset, settings, PIXELS, 4, 0, Processes(workers))
    for batch in islice(loader.batches(0), 3):
        targets = batch.targets
        assert len(targets.masks) == 4
        for index, masks in enumerate(targets.masks):
            count = int(targets.valid[index].sum())
            assert masks.shape == (count, *batch.sizes[index].tolist())
            for mask, box in zip(masks, targets.boxes[index], strict=False):
                # A box is its mask's, but for the pixel that the nearest one is off by.
                y, x = torch.nonzero(mask, as_tuple=True)
                edges = torch.stack((x.min(), y.min(), x.max() + 1, y.max() + 1))
                assert (edges - box).abs().max() <= 1.5


def test_who_asks_for_no_masks_gets_none(tmp_path):
    loader = TrainLoader(data.load(SHAPES, "train", tmp_path), INPUT, PIXELS, 4, 0)
    assert next(loader.batches(0)).targets.masks is None


def test_masks_stay_with_targets(tmp_path):
    loader = TrainLoader(data.load(SHAPES, "train", tmp_path, masks=True), INPUT, PIXELS, 4, 0)
    targets = next(loader.batches(0)).targets
    more = targets.padded(targets.boxes.shape[1] + 3).to("cpu")
    assert all((a == b).all() for a, b in zip(more.masks, targets.masks, strict=True))
    assert targets.to("meta").masks[0].device.type == "meta"
