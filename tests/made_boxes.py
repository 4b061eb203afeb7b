"""Boxes at random, for tests."""

from __future__ import annotations

import torch


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 4), xyxy, sides of 1 to 41 pixels, corners within 80."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 80
    return torch.cat((corner, corner + 1 + torch.rand(count, 2, generator=generator) * 40), dim=1)
