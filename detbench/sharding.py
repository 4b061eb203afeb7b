"""One batch over several processes: what a step on one's shard has to know of the others.

In a single process everything here is the plain operation and costs nothing. Over several, each
process has some images of the *whole* batch, and these functions make its losses such that their
mean over the processes is the loss of the whole batch, computed in one process: what a loss is
divided by counts every process's share, and random draws are made for the whole batch by each
process alike, which then takes its own rows.

Every process must call them equally often and in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """This process's part of the batch that is being trained on.

    Attributes:
        rank, world: it has the images ``rank``, ``rank + world``, and so on.
        images: of the whole batch.
        spare: the whole batch has no image for this process; those it has are lent, and nothing
            of them counts.
        generator: of the draws, in the same state in every process.
        control: processes' group for numbers on the host.
    """

    rank: int
    world: int
    images: int
    spare: bool
    generator: torch.Generator
    control: dist.ProcessGroup


_current: Shard | None = None


@contextmanager
def on_shard(shard: Shard | None) -> Iterator[None]:
    """Take the batch that is computed within as ``shard`` of a whole one."""
    global _current
    before, _current = _current, shard
    try:
        yield
    finally:
        _current = before


def current() -> Shard | None:
    """The shard that is being computed; none in a single process."""
    return _current


def normaliser(amount: Tensor, least: float = 1) -> Tensor:
    """What a loss is divided by: the whole batch's amount, per process.

    Args:
        amount: of this process's images, a scalar; its gradient is not followed over processes.
        least: the whole batch's amount is taken to be at least this.

    Returns:
        ``amount``, at least ``least``. Over several processes: the sum of their amounts, at least
        ``least``, divided by their number, so that the mean of their losses is the whole's.
    """
    if _current is None:
        return amount.clamp(min=least)
    return total(amount).clamp(min=least) / _current.world


def total(amount: Tensor) -> Tensor:
    """The sum of ``amount`` over the processes, as float32; of one process, ``amount`` itself."""
    if _current is None:
        return amount
    whole = amount.detach().float()
    whole = torch.zeros_like(whole) if _current.spare else whole.clone()
    dist.all_reduce(whole)
    return whole


def largest(count: int) -> int:
    """The largest count of any process, so that all pad alike."""
    if _current is None:
        return count
    found = torch.tensor(count)
    dist.all_reduce(found, dist.ReduceOp.MAX, _current.control)
    return int(found)


def uniform(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Draws from [0, 1), one row per image.

    Args:
        shape: (B, ...), B images of this process; the rest must be equal in all processes.
    """
    if _current is None:
        return torch.rand(shape, device=device)
    whole = (_current.images, *shape[1:])
    drawn = torch.rand(whole, device=device, generator=_current.generator)
    return drawn[:1].expand(shape) if _current.spare else drawn[_current.rank :: _current.world]
