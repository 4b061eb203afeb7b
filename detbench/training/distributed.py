"""One training over several processes (DDP): by ``torchrun``, or started by a cell's process.

The losses are those of one process with the whole batch, up to rounding: each process pads its
images like the whole batch, divides its losses by what the whole batch has (``detbench.sharding``),
draws at random for the whole batch, and its batch norms see every process's images; the gradients
are then averaged. What a module of the user's own draws or normalises by itself is its process's.

Gradients and sums go by NCCL on CUDA and by gloo on the CPU; what the host must know (sizes,
signals, whether it is time to save) by gloo, so that no process waits for its device.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.data.loading import Processes
from detbench.errors import DetbenchError, DeviceError, ProcessLost
from detbench.sharding import Shard
from detbench.structures import Batch, Targets

Result = TypeVar("Result")
Losses = Callable[[Tensor, Targets, float], dict[str, Tensor]]

# What a process notices of another's end, in the words of gloo, NCCL and torch.
_LOST = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "tcpstore")


@dataclass(frozen=True)
class Team:
    """The processes of one training; by default this one alone, where every method costs nothing.

    Attributes:
        rank, world: this process, and how many there are; the first has rank 0.
        here: how many of them are on this machine.
        control: group for messages between hosts; None when alone.
    """

    rank: int = 0
    world: int = 1
    here: int = 1
    control: dist.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes what is kept."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.world == 1

    @property
    def processes(self) -> Processes:
        """Which share of the images this process loads."""
        return Processes(rank=self.rank, world=self.world, here=self.here)

    def pad(self, batch: Batch) -> tuple[Batch, int]:
        """The batch padded like the whole one, and the number of images of the whole one."""
        if self.alone:
            return batch, len(batch.images)
        height, width = batch.images.shape[-2:]
        objects = batch.targets.boxes.shape[1]
        own = torch.tensor([0 if batch.spare else len(batch.images), height, width, objects])
        every = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(every, own, self.control)
        found = torch.stack(every)
        images = int(found[:, 0].sum())
        tall, wide, most = (int(value) for value in found[:, 1:].amax(dim=0))
        padded = replace(
            batch,
            images=F.pad(batch.images, (0, wide - width, 0, tall - height)),
            targets=batch.targets.padded(most),
        )
        return padded, images

    def shard(self, batch: Batch, images: int, generator: torch.Generator | None) -> Shard | None:
        """This process's shard of a step on ``batch``, see ``sharding``; None when alone."""
        if self.alone:
            return None
        assert generator is not None
        assert self.control is not None
        return Shard(self.rank, self.world, images, batch.spare, generator, self.control)

    def losses(self, detector: nn.Module) -> Losses:
        """``detector.losses``, whose gradients become the mean of the processes'."""
        if self.alone:
            return cast(Any, detector).losses
        # Which parameters a step uses may depend on its images.
        # A group of its own: batch norms exchange their sums in the same backward pass.
        return nn.parallel.DistributedDataParallel(
            _Losses(detector),
            process_group=dist.new_group(),
            broadcast_buffers=False,
            find_unused_parameters=True,
        )

    def whole(
        self, losses: dict[str, Tensor], total: Tensor, spare: bool
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The whole batch's losses and their sum, from each process's; detached."""
        if self.alone:
            return losses, total
        values = torch.stack([*(loss.detach().float() for loss in losses.values()), total.detach()])
        values = values * 0.0 if spare else values
        dist.all_reduce(values)
        *each, total = (values / self.world).unbind()
        return dict(zip(losses, each, strict=True)), total

    def fewest(self, count: int) -> int:
        """The smallest count of any process."""
        if self.alone:
            return count
        told = torch.tensor(count)
        dist.all_reduce(told, dist.ReduceOp.MIN, self.control)
        return int(told)

    def average_gradients(self, module: nn.Module) -> None:
        """Make each gradient the mean of the processes', where any has one."""
        if self.alone:
            return
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        have = torch.tensor([parameter.grad is not None for parameter in trained]).int()
        dist.all_reduce(have, dist.ReduceOp.MAX, self.control)
        for parameter in (one for one, here in zip(trained, have.tolist(), strict=True) if here):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= self.world

    def agree(self, *wishes: bool) -> list[bool]:
        """The value of the first process, for all; clocks differ."""
        if self.alone:
            return list(wishes)
        told = torch.tensor(wishes)
        dist.broadcast(told, 0, self.control)
        return told.tolist()

    def any(self, here: bool) -> bool:
        """Whether it is true in any process."""
        if self.alone:
            return here
        told = torch.tensor(int(here))
        dist.all_reduce(told, dist.ReduceOp.MAX, self.control)
        return bool(told)

    def wait(self) -> None:
        """Until every process is here."""
        self.any(False)

    def from_first(self, compute: Callable[[], Result]) -> Result:
        """The first process's result, in all; or the ``DetbenchError`` that it raised."""
        if self.alone:
            return compute()
        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = compute()
            except DetbenchError as error:
                told[1] = error
        dist.broadcast_object_list(told, 0, self.control)
        if told[1] is not None:
            raise told[1]
        return told[0]

    def gather(self, own: Result) -> list[Result] | None:
        """Every process's value, in order, in the first process; None in the others."""
        if self.alone:
            return [own]
        every: list[Any] | None = [None] * self.world if self.first else None
        dist.gather_object(own, every, 0, self.control)
        return every


ALONE = Team()


class _Losses(nn.Module):
    """A detector whose ``forward`` returns its losses, as DDP needs it."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor, targets: Targets, epoch: float) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = cast(Any, self.detector).losses(images, targets, epoch)
        return losses


def asked() -> bool:
    """Whether this process was started as one of several, by torchrun or alike."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """Of this process, known before ``joined``; 0 when it is alone."""
    return int(os.environ.get("RANK", "0")) if asked() else 0


def device(wanted: torch.device) -> torch.device:
    """The device of this process of several: with CUDA, one each.

    Raises:
        DeviceError: there are fewer GPUs than processes, or a single one was named.
    """
    if not asked() or wanted.type != "cuda":
        return wanted
    if wanted.index is not None:
        raise DeviceError(f"device '{wanted}': several processes need one each: use --device cuda")
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise DeviceError(
            f"{_here()} processes on this machine and {count} CUDA devices: start one process "
            "per device, or use --device cpu"
        )
    return torch.device("cuda", local)


def _here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def joined(
    device: torch.device, store: dist.Store | None = None, backend: str | None = None
) -> Iterator[Team]:
    """Join the processes that the environment names, as ``torchrun`` sets it.

    Args:
        device: of this process, see ``device``.
        store: where they meet; by default at ``$MASTER_ADDR``.
        backend: of gradients and sums; by default NCCL on CUDA, which refuses processes that share
            a GPU, and gloo on the CPU.

    Raises:
        ProcessLost: another process ended while this one needed it.
    """
    if not asked():
        yield ALONE
        return
    world = int(os.environ["WORLD_SIZE"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if store is None:
        store = next(dist.rendezvous("env://", rank(), world))[0]
    with _one_speaker(store), lost_processes():
        backend = backend or ("nccl" if device.type == "cuda" else "gloo")
        dist.init_process_group(backend, store=store, rank=rank(), world_size=world)
        try:
            control = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))
            with warnings.catch_warnings():
                # Of convolutions of size 1 in channels-last; it concerns speed alone.
                warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
                # The option's new name is not known to older versions.
                warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")
                yield Team(rank(), world, _here(), control)
        finally:
            dist.destroy_process_group()


@contextmanager
def _one_speaker(store: dist.Store) -> Iterator[None]:
    """If one fault raises an error in every process, mark all but one as ``quiet``."""
    try:
        yield
    except DetbenchError as error:
        try:
            error.quiet = store.add("detbench said why", 1) > 1
        except RuntimeError:  # the store was another process's, and is gone with it
            error.quiet = False
        raise


@contextmanager
def lost_processes() -> Iterator[None]:
    """Turn what is raised when another process is gone into ``ProcessLost``."""
    try:
        yield
    except RuntimeError as error:
        text = str(error).lower()
        if not isinstance(error, dist.DistError) and not any(sign in text for sign in _LOST):
            raise
        raise ProcessLost(
            "another process of this training ended: its own message says why; the same command "
            "goes on from the last checkpoint"
        ) from error
