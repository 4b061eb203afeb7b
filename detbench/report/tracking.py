"""The curve of a training in the files of TensorBoard, Weights & Biases or Trackio.

Each is written by its own library, which detbench does not need otherwise, into a folder of this
machine: nothing is sent anywhere. Losses are called ``train/NAME``, the learning rate ``train/lr``,
scores ``val/METRIC``, as fractions; steps are iterations, from 1.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from detbench.errors import StoreError
from detbench.results.files import writing
from detbench.training import curve

PROJECT = "detbench"
Point = tuple[int, dict[str, float]]


@dataclass(frozen=True)
class Source:
    """A training's curve.

    Attributes:
        name: of the run in the tracker.
        path: of the file.
        settings: what was trained, plain; empty if it is not known.
    """

    name: str
    path: Path
    settings: dict[str, Any]


Write = Callable[[Iterable[Point], Source, Path], None]


def points(path: Path) -> Iterator[Point]:
    """What a curve says of each iteration, by the names it has in a tracker; undefined scores are
    left out.
    """
    losses = ((one["iteration"], _named("train", one)) for one in curve.read(path))
    scores = ((one["iteration"], _named("val", one[curve.LOOK])) for one in curve.looks(path))
    every = sorted([*losses, *scores], key=lambda one: one[0])
    for iteration, found in groupby(every, key=lambda one: one[0]):
        merged: dict[str, float] = {}
        for _, values in found:
            merged |= values
        yield iteration, merged


def _named(group: str, values: dict[str, Any]) -> dict[str, float]:
    return {
        f"{group}/{name}": float(value)
        for name, value in values.items()
        if name != "iteration" and value is not None
    }


def export(tracker: str, sources: Iterable[Source], output: Path) -> None:
    """Write curves for a tracker.

    Args:
        tracker: a key of ``TRACKERS``.
        output: a folder that is new or empty.

    Raises:
        StoreError: the library is not installed, the folder has something in it or cannot be
            written, or a curve has no line.
    """
    package, write = TRACKERS[tracker]
    if find_spec(package) is None:
        raise StoreError(f"--to {tracker} needs {package}: pip install 'detbench[{tracker}]'")
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        if next(output.iterdir(), None) is not None:
            raise StoreError(f"{output}: has something in it already: name a new folder")
    names: Counter[str] = Counter()
    for source in sources:
        found = list(points(source.path))
        if not found:
            raise StoreError(f"{source.path}: no line of a curve in it")
        names[source.name] += 1
        again = f"-{names[source.name]}" if names[source.name] > 1 else ""
        with writing(output), redirect_stdout(sys.stderr):  # what the libraries print
            write(found, replace(source, name=source.name + again), output)


def _tensorboard(found: Iterable[Point], source: Source, output: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(output / source.name)) as writer:
        for iteration, values in found:
            for name, value in values.items():
                writer.add_scalar(name, value, iteration)


def _wandb(found: Iterable[Point], source: Source, output: Path) -> None:
    with _environment(WANDB_ERROR_REPORTING="false", WANDB_SILENT="true", WANDB_MODE="offline"):
        wandb = import_module("wandb")
        run = wandb.init(
            project=PROJECT,
            name=source.name,
            dir=str(output),
            config=source.settings,
            mode="offline",
            settings=wandb.Settings(console="off", disable_git=True, disable_code=True),
        )
        for iteration, values in found:
            run.log(values, step=iteration)
        run.finish()


def _trackio(found: Iterable[Point], source: Source, output: Path) -> None:
    # The first three would send it elsewhere; the rest is what the library tells its makers.
    local = {"TRACKIO_SPACE_ID": None, "TRACKIO_SERVER_URL": None, "TRACKIO_WEBHOOK_URL": None}
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    with _environment(TRACKIO_DIR=str(output), **local, **quiet):
        trackio = import_module("trackio")
        run = trackio.init(
            project=PROJECT,
            name=source.name,
            config=source.settings,
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        for iteration, values in found:
            run.log(values, step=iteration)
        trackio.finish()


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Variables that a library reads, or must not read, for so long."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


TRACKERS: dict[str, tuple[str, Write]] = {
    "tensorboard": ("tensorboard", _tensorboard),
    "trackio": ("trackio", _trackio),
    "wandb": ("wandb", _wandb),
}
"""Name -> the package it needs, which is that of the extra too, and what writes a curve."""
