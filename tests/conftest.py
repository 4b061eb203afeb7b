"""What every test finds and leaves behind."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from no_torch import NoTorch

COLLECTED = pytest.StashKey[set[Path]]()
"""Files of the tests that were found, those included that are not run."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[COLLECTED] = {item.path for item in items}


def pytest_configure() -> None:
    """Commands that tests start hear Ctrl-C: a shell that starts tests in the background has it
    ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What tests' data sets hold is not remembered beyond them.
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="detbench-tests-")


@pytest.fixture
def collected(pytestconfig: pytest.Config) -> set[Path]:
    return pytestconfig.stash[COLLECTED]


@pytest.fixture(scope="session")
def no_torch() -> Iterator[NoTorch]:
    """For what must not import torch, or anything else that is slow."""
    processes = NoTorch()
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def _server() -> Iterator[Any]:
    import forked

    server = forked.Server()
    yield server
    server.close()


@pytest.fixture
def modules_forked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Cells, and whatever else detbench starts in Python, are forked, with torch imported; where
    the system is not Linux they are started as ever.
    """
    import forked

    forks = sys.platform == "linux"
    with forked.modules_forked(request.getfixturevalue("_server")) if forks else nullcontext():
        yield


@pytest.fixture(autouse=True)
def _determinism():
    """Training switches deterministic algorithms on, which changes the operators that run."""
    yield
    if torch := sys.modules.get("torch"):
        torch.use_deterministic_algorithms(False)
