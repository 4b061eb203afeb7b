"""Batches for training and evaluation.

A training batch is a pure function of the seed and its number, whatever came before: so a run that
resumes at batch k needs no state of the loader, and any number of worker processes gives the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from detbench.data import Dataset, Sample, transforms
from detbench.data.augmentation import Augmentation
from detbench.data.by_class import ByClass
from detbench.data.draws import Draws, permutation
from detbench.errors import DataError, DetbenchError, is_worker_death, worker_lost
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels
from detbench.structures import Batch, Targets

# Parts of the keys of random draws, so that no two uses share a stream; 2 is ``by_class``'s.
_ORDER, _AUGMENT, _TRANSFORMS = 0, 1, 3


@dataclass(frozen=True)
class Processes:
    """Who loads what.

    Attributes:
        workers: processes that prepare batches ahead; 0 does it in this one. None takes 0 where
            samples are in memory, else a process per core but one, 8 at most.
        rank, world: this process takes share ``rank`` of ``world`` of every batch to train on, and
            every ``world``-th batch to evaluate on.
        here: processes on this machine that do so, which share its cores.
        device: where batches are wanted.
    """

    workers: int | None = None
    rank: int = 0
    world: int = 1
    here: int = 1
    device: torch.device = transforms.CPU


class TrainLoader:
    """Batches to train on, without end.

    Each epoch is a random order of the images, cut into batches of like aspect (w < h, w >= h) so
    that little is padded; the last batches of both kinds are put together, and the very last may
    be smaller. An image's scale, flip and augmentation depend on the seed, the epoch and the image
    alone. Where classes are sampled, an epoch is as many draws, and the number of the draw is in
    its place.

    Args:
        dataset: where samples come from.
        input: scales, flips and padding.
        pixels: normalisation.
        batch: images per batch, over all ranks.
        seed: of order and augmentation.
        processes: workers and share.

    Raises:
        DataError: there is no image to train on, or fewer images in a batch than ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        input: Input,
        pixels: Pixels,
        batch: int,
        seed: int,
        processes: Processes = Processes(),
    ) -> None:
        indices = np.asarray(dataset.trainable, np.int64)
        if not len(indices):
            raise DataError(
                "data: no training image has an object to learn from; check that the annotations "
                "belong to the images and are not all crowds"
            )
        if batch < processes.world:
            raise DataError(
                f"data: a batch of {batch} cannot be shared by {processes.world} processes; "
                f"raise training.batch or use fewer"
            )
        self.iterations_per_epoch = -(-len(indices) // batch)
        self._pixels = pixels
        self._multiple = input.multiple
        self._workers, self._device = _workers(processes, dataset), processes.device
        classes = ByClass(dataset) if input.sampling == "classes" else None
        self._source = _Training(dataset, input, indices, batch, seed, processes, classes)

    def batches(self, start: int) -> Iterator[Batch]:
        """Batches ``start``, ``start`` + 1, and so on; close the iterator to end the workers."""
        loaded = _stream(self._source, count(start), self._workers, self._device)
        for number, images in enumerate(loaded, start):
            made = _batch(images, self._pixels, self._multiple, self._device)
            yield replace(made, spare=True) if self._source.is_spare(number) else made


def as_trained_on(dataset: Dataset, input: Input, index: int, epoch: int, seed: int = 0) -> Sample:
    """Image ``index`` as an epoch of training sees it: scaled, augmented, flipped, in RGB bytes."""
    one = _Training(dataset, input, np.array([index]), 1, seed, Processes(), None)
    return one.image(epoch, index, index).sample


class EvalLoader:
    """Every image once, in the data set's order, at the testing scale, not flipped.

    Args:
        dataset: where samples come from.
        input: the last ``short`` side is used.
        pixels: normalisation.
        batch: images per batch; the last may have fewer.
        limit: only the first this many images.
        processes: workers and share.

    Attributes:
        images: number of images, of all processes.
        own: number of images of this one.
    """

    def __init__(
        self,
        dataset: Dataset,
        input: Input,
        pixels: Pixels,
        batch: int,
        limit: int | None = None,
        processes: Processes = Processes(),
    ) -> None:
        self.images = len(dataset) if limit is None else min(limit, len(dataset))
        self._pixels = pixels
        self._multiple = input.multiple
        self._workers, self._device = _workers(processes, dataset), processes.device
        self._source = _Testing(dataset, input, batch, self.images)
        self._numbers = range(processes.rank, -(-self.images // batch), processes.world)
        self.own = sum(len(self._source.indices(number)) for number in self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Batch]:
        for images in _stream(self._source, self._numbers, self._workers, self._device):
            yield _batch(images, self._pixels, self._multiple, self._device)


@dataclass(frozen=True)
class _Image:
    """A transformed sample, and how it relates to the original."""

    sample: Sample
    scale: tuple[float, float]
    original: tuple[int, int]

    def pin_memory(self) -> _Image:
        """With pixels in memory that a GPU reads while the processor goes on."""
        one = self.sample
        masks = None if one.masks is None else one.masks.pin_memory()
        return replace(self, sample=replace(one, image=one.image.pin_memory(), masks=masks))


_PLACES = ("original", "scaled")
_Drawn = tuple[int, int]
"""Index of an image to train on, and what its augmentation is drawn by."""


class _Source(Protocol):
    def load(self, number: int) -> list[_Image]: ...


@dataclass
class _Training:
    """Training batch ``number``, before normalisation. Nothing in it depends on earlier calls."""

    dataset: Dataset
    input: Input
    indices: np.ndarray
    batch: int
    seed: int
    processes: Processes
    classes: ByClass | None
    _epoch: tuple[int, list[list[_Drawn]]] = (-1, [])

    def __post_init__(self) -> None:
        places = ([one for one in self.input.augment if one.at == at] for at in _PLACES)
        self._before, self._after = map(Augmentation, places)

    def load(self, number: int) -> list[_Image]:
        epoch, place = divmod(number, -(-len(self.indices) // self.batch))
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        rank, world = self.processes.rank, self.processes.world
        whole = self._epoch[1][place]
        # Every rank gets an image, even of a last batch with fewer images than ranks: a spare one.
        share = whole[rank::world] or [whole[rank % len(whole)]]
        return [self.image(epoch, *drawn) for drawn in share]

    def is_spare(self, number: int) -> bool:
        """Whether batch ``number`` has an image for this rank only because another lends it."""
        per_epoch = -(-len(self.indices) // self.batch)
        before = number % per_epoch * self.batch
        return min(self.batch, len(self.indices) - before) <= self.processes.rank

    def _order(self, epoch: int) -> Iterable[_Drawn]:
        """The epoch's images, each with what its augmentation is drawn by."""
        count = len(self.indices)
        if self.classes is None:
            order = self.indices[permutation(count, self.seed, _ORDER, epoch)].tolist()
            return zip(order, order, strict=True)
        return zip(self.classes.draw(count, self.seed, epoch).tolist(), range(count), strict=True)

    def _batches(self, epoch: int) -> list[list[_Drawn]]:
        """The epoch's images, cut into batches of like aspect."""
        groups: tuple[list[_Drawn], list[_Drawn]] = ([], [])
        batches = []
        for drawn in self._order(epoch):
            height, width = self.dataset.sizes[drawn[0]]
            group = groups[width >= height]
            group.append(drawn)
            if len(group) == self.batch:
                batches.append(group.copy())
                group.clear()
        rest = groups[0] + groups[1]
        return batches + [rest[i : i + self.batch] for i in range(0, len(rest), self.batch)]

    def image(self, epoch: int, index: int, key: int) -> _Image:
        """One image; ``key`` is what its augmentation is drawn by."""
        draws = Draws(self.seed, _AUGMENT, epoch, key)
        short, flipped = _short(self.input, draws), draws.chance(self.input.flip)
        sample = self.dataset.sample(index)
        own = Draws(self.seed, _TRANSFORMS, epoch, key)
        loaded = _scaled(self._before(sample, own), short, self.input.long)
        sample = self._after(loaded.sample, own)
        return replace(loaded, sample=transforms.flip(sample) if flipped else sample)


@dataclass(frozen=True)
class _Testing:
    """Batch ``number`` of the first ``images`` images."""

    dataset: Dataset
    input: Input
    batch: int
    images: int

    def indices(self, number: int) -> range:
        first = number * self.batch
        return range(first, min(first + self.batch, self.images))

    def load(self, number: int) -> list[_Image]:
        short, long = self.input.short[-1], self.input.long
        return [_scaled(self.dataset.sample(i), short, long) for i in self.indices(number)]


def _short(input: Input, draws: Draws) -> int:
    """A training image's shorter side."""
    if input.draw == "listed":
        return draws.choice(input.short)
    least, most = min(input.short), max(input.short)
    return least + draws.integer(most - least + 1)


def _scaled(sample: Sample, short: int, long: int) -> _Image:
    height, width = sample.image.shape[-2:]
    scaled, scale = transforms.resize(sample, short, long)
    return _Image(scaled, scale, (height, width))


def _batch(images: list[_Image], pixels: Pixels, multiple: int, device: torch.device) -> Batch:
    samples = [image.sample for image in images]
    sizes = torch.tensor([s.image.shape[-2:] for s in samples], dtype=torch.int64)
    targets = Targets.pad([s.boxes for s in samples], [s.labels for s in samples], sizes, multiple)
    masks = tuple(s.masks for s in samples if s.masks is not None)
    return Batch(
        images=transforms.normalise([s.image for s in samples], pixels, multiple, device),
        sizes=sizes,
        targets=replace(targets, masks=masks) if len(masks) == len(samples) else targets,
        image_ids=[s.image_id for s in samples],
        scales=[image.scale for image in images],
        originals=[image.original for image in images],
    )


# ---- worker processes ----


def _workers(processes: Processes, dataset: Dataset) -> int:
    if processes.workers is not None:
        return processes.workers
    return 0 if dataset.in_memory else min(8, max(1, _cores() // processes.here - 1))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Numbered(TorchDataset[list[_Image] | DetbenchError]):
    """A source as torch's loader wants it. An error is a value, so that it stays one line."""

    def __init__(self, source: _Source) -> None:
        self.source = source

    def __getitem__(self, number: int) -> list[_Image] | DetbenchError:
        try:
            return self.source.load(number)
        except DetbenchError as error:
            return error


def _stream(
    source: _Source, numbers: Iterable[int], workers: int, device: torch.device
) -> Iterator[list[_Image]]:
    """Load batches in order, ``workers`` processes ahead.

    Bytes are sent, not floats: shared memory is small in many containers.
    """
    if workers == 0:
        yield from map(source.load, numbers)
        return
    loader: DataLoader[list[_Image] | DetbenchError] = DataLoader(
        _Numbered(source),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals,
        pin_memory=device.type == "cuda",
    )
    with worker_deaths():
        batches = iter(loader)
        while (loaded := _next(batches)) is not None:
            if isinstance(loaded, DetbenchError):
                raise loaded
            yield loaded


def _next(batches: Iterator[list[_Image] | DetbenchError]) -> list[_Image] | DetbenchError | None:
    """The next batch, None after the last; a process that dies while it sends one is lost too."""
    try:
        return next(batches, None)
    except (ConnectionError, EOFError) as error:
        if str(error).startswith("Caught "):  # what loading itself raised there
            raise
        raise worker_lost(error) from None


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Turn the death of a process that loads data into ``ProcessLost``.

    torch raises it from a signal handler, so in whatever runs at that moment: the training step as
    well as the loader.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_worker_death(error):
            raise
        raise worker_lost(error) from None


def _as_it_is(loaded: list[_Image] | DetbenchError) -> list[_Image] | DetbenchError:
    return loaded


def _leave_signals(worker: int) -> None:
    """Ctrl-C and SIGTERM may reach the whole group; the training process handles them, and ends
    its workers.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
