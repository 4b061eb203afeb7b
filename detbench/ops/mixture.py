"""A mixture of two Gaussians, fitted to many small sets of numbers at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST_VARIANCE = 1e-6
TOLERANCE = 1e-3


def fitted(values: Tensor, there: Tensor, iterations: int) -> Tensor:
    """Expectation maximisation of two Gaussians in each set, from its least and largest value.

    They start with equal weights and variance 1. A set is done when its mean log-likelihood changes
    by less than 1e-3; 1e-6 is added to variances. These are scikit-learn's defaults, and with these
    starts its ``GaussianMixture`` draws nothing at random. It computes in the precision of its
    input where this is float64 throughout: sets at the edge of ``TOLERANCE`` may stop an iteration
    earlier or later.

    On the CPU it ends when all sets are done; elsewhere that would wait for the device.

    Args:
        values: (..., K), float64.
        there: (..., K), which of them belong to the set; it may be empty.
        iterations: at most.

    Returns:
        (..., K, 2): the logarithm of each component's weight times its density at each value.
    """
    x, member = values[..., None], there[..., None].to(values.dtype)
    number = member.sum(dim=-2).clamp(min=1)
    least = values.masked_fill(~there, torch.inf).amin(dim=-1)
    most = values.masked_fill(~there, -torch.inf).amax(dim=-1)
    mean = torch.stack((least, most), dim=-1).masked_fill(~there.any(dim=-1, keepdim=True), 0.0)
    share, variance = torch.full_like(mean, 0.5), torch.ones_like(mean)
    before = torch.full_like(number, -torch.inf)
    done = torch.zeros_like(number, dtype=torch.bool)
    for _ in range(iterations):
        parts = _log_density(x, share, mean, variance)
        whole = parts.logsumexp(dim=-1, keepdim=True)
        each = (parts - whole).exp() * member
        now = (whole * member).sum(dim=-2) / number
        total = each.sum(dim=-2) + 10 * torch.finfo(x.dtype).eps
        middle = (each * x).sum(dim=-2) / total
        spread = (each * (x - middle[..., None, :]).square()).sum(dim=-2) / total
        share = torch.where(done, share, total / number)
        mean = torch.where(done, mean, middle)
        variance = torch.where(done, variance, spread + LEAST_VARIANCE)
        done = done | ((now - before).abs() < TOLERANCE)
        before = now
        if x.device.type == "cpu" and bool(done.all()):
            break
    return _log_density(x, share, mean, variance)


def _log_density(x: Tensor, share: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """(..., K, 1) values and (..., 2) parameters to (..., K, 2)."""
    known = share.log() - 0.5 * (variance.log() + math.log(2 * math.pi))
    squared = (x - mean[..., None, :]).square() / variance[..., None, :]
    return known[..., None, :] - 0.5 * squared
