"""Losses are kept on the device and read rarely, since reading one waits for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from detbench.errors import CellFailed
from detbench.training.curve import Curve


class Meter:
    """Collects each iteration's losses and notices the first that is not finite.

    Args:
        curve: gets a line per iteration when the losses are read.
        total: iterations of the run, for messages.
    """

    def __init__(self, curve: Curve, total: int, device: torch.device) -> None:
        self.curve = curve
        self.total = total
        self.last: float | None = None
        self._bad = torch.zeros((), dtype=torch.int64, device=device)  # 0 is none
        self._names: list[str] = []
        self._values: list[Tensor] = []
        self._places: list[tuple[int, float]] = []

    def add(self, iteration: int, rate: float, losses: dict[str, Tensor], total: Tensor) -> None:
        """Take one iteration's losses, scalars on the device, without waiting for it.

        Args:
            iteration: from 1.
            rate: learning rate it used.
        """
        total = total.detach()
        first = (self._bad == 0) & ~torch.isfinite(total)
        self._bad = torch.where(first, iteration, self._bad)
        self._names = list(losses)
        self._values.append(
            torch.stack([*(loss.detach().float() for loss in losses.values()), total])
        )
        self._places.append((iteration, rate))

    def read(self, sync: bool = False) -> None:
        """Wait for the device, write the curve and fail if a loss was not finite.

        Args:
            sync: the curve must be on disk on return.

        Raises:
            CellFailed: naming the first bad iteration; the curve ends before it.
        """
        bad = int(self._bad.item())
        values = torch.stack(self._values).tolist() if self._values else []
        lines: list[dict[str, Any]] = [
            {"iteration": iteration, "lr": rate, "total": row[-1]}
            | dict(zip(self._names, row[:-1], strict=True))
            for (iteration, rate), row in zip(self._places, values, strict=True)
            if not bad or iteration < bad
        ]
        self._values, self._places = [], []
        self.curve.add(lines, sync)
        if lines:
            self.last = lines[-1]["total"]
        if bad:
            raise CellFailed(
                f"the loss was not finite at iteration {bad} of {self.total}: try a lower learning "
                f"rate, gradient clipping (training.clip) or fp32; its curve: {self.curve.path}"
            )
