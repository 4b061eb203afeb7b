"""Numbers of the program as tensors, without waiting for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def constant(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """``torch.tensor(values)`` on ``device``, sent behind the work that is queued there.

    Made on a GPU at once, as ``device=`` does, it would first wait until all that work is done.
    """
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
