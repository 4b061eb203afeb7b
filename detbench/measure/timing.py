"""Timing of repeated calls: warm-up, synchronised clocks, raw samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """How long one step took, each time.

    Attributes:
        samples_ms: in the order measured, warm-up left out; one or more.
    """

    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        return float(np.median(self.samples_ms))

    @property
    def p95_ms(self) -> float:
        """95th percentile, linear between samples."""
        return float(np.percentile(self.samples_ms, 95))

    def summary(self) -> dict[str, Any]:
        """Median, 95th percentile, number of samples and the samples, as plain values."""
        return {
            "median_ms": self.median_ms,
            "p95_ms": self.p95_ms,
            "n": len(self.samples_ms),
            "samples_ms": list(self.samples_ms),
        }


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done what was asked of it; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def now_ms(device: torch.device, clock: Callable[[], float] | None = None) -> float:
    """The clock (in seconds; by default the wall's), read when ``device`` is idle."""
    synchronize(device)
    return (clock or perf_counter)() * 1e3


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    device: torch.device,
    warmup: int,
    iterations: int,
    clock: Callable[[], float] | None = None,
) -> dict[str, Timing]:
    """Time each call ``iterations`` times, taking turns, so that all see the same machine.

    Args:
        calls: name -> what to time.
        device: that they run on.
        warmup: rounds before the first that counts.
        iterations: rounds that count, one or more.
        clock: in seconds; by default the wall's.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(warmup + iterations):
        for name, call in calls.items():
            start = now_ms(device, clock)
            call()
            taken = now_ms(device, clock) - start
            if index >= warmup:
                samples[name].append(taken)
    return {name: Timing(tuple(found)) for name, found in samples.items()}
