"""What every test leaves behind is put back."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _determinism():
    """Training switches deterministic algorithms on, which changes the operators that run."""
    yield
    if torch := sys.modules.get("torch"):
        torch.use_deterministic_algorithms(False)
