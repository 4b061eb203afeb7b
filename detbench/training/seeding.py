"""Every source of randomness: seeding, and taking and restoring their states."""

from __future__ import annotations

import logging
import os
import random
from typing import Any

import numpy as np
import torch
from torch.utils import deterministic

CPU = torch.device("cpu")

logger = logging.getLogger(__name__)


def seed_everything(seed: int, stream: int = 0) -> None:
    """Seed python, numpy and torch on every device.

    Args:
        stream: draws that must not depend on each other (0 the initial weights, 1 + rank the
            training of each process) take different ones.
    """
    mixed = _mixed(seed, stream)
    random.seed(mixed)
    np.random.seed(mixed)  # noqa: NPY002  the global state: a user's module may draw from it
    torch.manual_seed(mixed)


def _mixed(seed: int, stream: int) -> int:
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])


def choose_determinism(device: torch.device) -> None:
    """Choose deterministic kernels; on the CPU they need a fixed number of threads.

    The few CUDA operators that have none only warn.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling every new tensor would only hide a read of uninitialised memory, and costs time.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def keep_threads(begun: int | None, device: torch.device) -> None:
    """Go on at the number of threads a training began with, since on the CPU its bits depend on it.

    Args:
        begun: None if it is not known.
    """
    now = torch.get_num_threads()
    if begun is None or begun == now or device.type != "cpu":
        return
    torch.set_num_threads(begun)
    logger.warning(
        "it goes on at %d thread%s, as it began, not at %d: its result is bit for bit the same at "
        "one number of threads alone",
        *(begun, "" if begun == 1 else "s", now),
    )


def shared_generator(seed: int, device: torch.device) -> torch.Generator:
    """Draws as ``device``'s own generator does after ``seed_everything(seed, stream=1)``."""
    return torch.Generator(device).manual_seed(_mixed(seed, 1))


def states(device: torch.device = CPU, drawing: torch.Generator | None = None) -> dict[str, Any]:
    """The state of every generator, as tensors and plain types.

    Args:
        device: of the training.
        drawing: what its modules draw from; by default the device's own generator.
    """
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    words = torch.from_numpy(np.asarray(keys, dtype=np.int64))
    return {
        "python": random.getstate(),
        "numpy": (name, words, position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "drawing": {"device": device.type, "state": _state(device, drawing)},
    }


def _state(device: torch.device, drawing: torch.Generator | None) -> torch.Tensor:
    if drawing is not None:
        return drawing.get_state()
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def restore(
    states: dict[str, Any], device: torch.device = CPU, drawing: torch.Generator | None = None
) -> None:
    """Set every generator to what ``states()`` returned, whichever device of a kind it was."""
    name, keys, position, has_gauss, cached = states["numpy"]
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(  # noqa: NPY002
        (name, keys.numpy().astype(np.uint32), position, has_gauss, cached)
    )
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    told = states.get("drawing")
    if told is None or told["device"] != device.type:
        return
    if drawing is not None:
        drawing.set_state(told["state"])
    elif device.type == "cuda":
        torch.cuda.set_rng_state(told["state"], device)
    else:
        torch.set_rng_state(told["state"])
