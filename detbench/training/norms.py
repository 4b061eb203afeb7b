"""Batch norms over the whole batch, when several processes have a shard of it each."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detbench import sharding


def see_whole_batch(detector: nn.Module) -> None:
    """Have every batch norm in training mode use the statistics of all processes' images.

    torch's SyncBatchNorm does so on CUDA alone, and counts images that are lent to a process.
    """
    for module in detector.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, _WholeNorm):
            # The same object, parameters and place in every list of modules: only what it does.
            module.__class__ = type(f"Whole{type(module).__name__}", (_WholeNorm, type(module)), {})


class _WholeNorm(_BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        shard = sharding.current()
        if shard is None or not self.training:
            return super().forward(x)
        shape = [1, -1] + [1] * (x.dim() - 2)
        dims = [dim for dim in range(x.dim()) if dim != 1]
        own = x.float()
        count = own.new_full((1,), own.numel() // own.shape[1])
        counts = 0.0 if shard.spare else 1.0
        whole = _Total.apply(torch.cat((own.sum(dims), count)) * counts)
        mean, size = whole[:-1] / whole[-1], whole[-1].detach()
        centred = own - mean.view(shape)
        variance = _Total.apply(centred.square().sum(dims) * counts) / size
        self._remember(mean.detach(), variance.detach() * size / (size - 1).clamp(min=1))
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, as torch does."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        if self.momentum is None:
            weight: Any = 1.0 / self.num_batches_tracked.float()
        else:
            weight = self.momentum
        with torch.no_grad():
            self.running_mean += weight * (mean - self.running_mean)
            self.running_var += weight * (variance - self.running_var)


class _Total(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs, since each used the whole."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        whole = value.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        whole = gradient.contiguous().clone()
        dist.all_reduce(whole)
        return whole
