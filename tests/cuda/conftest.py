"""What only a GPU can show. Without one, these tests say so and are skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # which share what agrees


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "tests/cuda/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


@pytest.fixture
def exact() -> Iterator[None]:
    """Convolutions in float32, not TF32, and the same ones each time."""
    backends = torch.backends.cudnn
    before = backends.allow_tf32, backends.deterministic
    backends.allow_tf32, backends.deterministic = False, True
    yield
    backends.allow_tf32, backends.deterministic = before


@pytest.fixture
def same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers are drawn on the CPU, so that both devices sample the same."""
    drawn = torch.rand

    def rand(*shape: object, device: object = None, **more: object) -> torch.Tensor:
        return drawn(*shape, **more).to(device)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "rand", rand)
