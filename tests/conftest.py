"""What every test finds and leaves behind."""

from __future__ import annotations

import signal
import sys

import pytest


def pytest_configure() -> None:
    """Commands that tests start hear Ctrl-C: a shell that starts tests in the background has it
    ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _determinism():
    """Training switches deterministic algorithms on, which changes the operators that run."""
    yield
    if torch := sys.modules.get("torch"):
        torch.use_deterministic_algorithms(False)
