"""Heads of RoI detectors on any number of regions, none among them."""

from __future__ import annotations

import pytest
import torch

from detbench.stages.heads.conv import NonLocal


@pytest.mark.parametrize("count", [0, 1, 3])
def test_non_local_blocks_take_any_number_of_regions(count: int) -> None:
    block = NonLocal(16).eval()
    features = torch.rand(count, 16, 5, 5, requires_grad=True)
    made = block(features)
    assert made.shape == features.shape
    # It starts as the identity (and ReLU).
    torch.testing.assert_close(made, features)
    made.sum().backward()
    assert features.grad is not None
