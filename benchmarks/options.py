"""What both timing scripts are told by their command lines, and how they say what they found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import torch

from detbench.measure import machine
from detbench.measure.device import resolve


def parser(about: str, rounds: str, batch: int) -> argparse.ArgumentParser:
    """Their common options.

    Args:
        about: the script's docstring.
        rounds: of what ``--rounds`` are.
        batch: default of ``--batch``.
    """
    found = argparse.ArgumentParser(description=about.partition("\n")[0])
    found.add_argument("--rounds", type=int, default=5, help=rounds)
    found.add_argument("--batch", type=int, default=batch, help="images at once")
    found.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    found.add_argument("--busy", action="store_true", help="one thread, CPU time")
    found.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return found


def start(options: argparse.Namespace) -> tuple[torch.device, Callable[[], float] | None]:
    """The device, made ready, and the clock; None is the wall's."""
    if options.busy:
        torch.set_num_threads(1)
    device = resolve(options.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    return device, process_time if options.busy else None


def write(options: argparse.Namespace, name: str, found: dict[str, Any]) -> None:
    """What was found, with time and machine, to ``<output>/<name>-<time>.json``."""
    options.output.mkdir(parents=True, exist_ok=True)
    record = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(resolve(options.device)),
        "clock": "cpu" if options.busy else "wall",
        **found,
    }
    path = options.output / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {path}")
