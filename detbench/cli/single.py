"""What ``train`` and ``eval`` share: one detector's settings, its progress, its table."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from detbench import __version__, inputs
from detbench.cli import common
from detbench.errors import DataError, WeightsError
from detbench.progress import Progress, Report
from detbench.runner.display import bars, duration

if TYPE_CHECKING:
    from detbench.recipe.experiment import Cell, Data, Evaluation
    from detbench.recipe.table import Profile
    from detbench.runner.plan import Request

PLAIN_EVERY_S = 15.0
Engine = Literal["detbench", "faster", "pycocotools"]


def choose(asked: Request, here: bool = True) -> tuple[Cell, Profile]:
    """The cell of the detector ``asked.table``, with the first seed; prints what the user should
    know of it.

    Args:
        here: whether its data set must be there.

    Raises:
        RecipeError: mistakes in the names or settings.
        DataError: the data set is not there.
    """
    from detbench.recipe import load, resolve

    recipe, root = load.detector(asked.table), asked.data_root
    data = resolve.parse_dataset(asked.dataset) if asked.dataset else None
    needed = data or load.schedule(recipe.schedule).data
    profile, said = resolve.choose_profile(
        asked.profile, [needed], lambda one: one.why_missing(root) is None
    )
    resolved = resolve.cell(recipe, profile, asked.seeds[0], asked.overrides, data).settled(root)
    for sentence in (*([said] if said else []), *resolved.warnings):
        common.say(sentence)
    assert resolved.cell is not None
    if here:
        require_data(resolved.cell.data, root)
    return resolved.cell, profile


def require_data(data: Data, root: Path) -> None:
    """Raise ``DataError`` if a data set is not there."""
    if missing := data.why_missing(root):
        raise DataError(f"data: {missing}")


def weights_file(weights: str) -> Path:
    """The file of a detector's weights that ``--weights`` means.

    Raises:
        WeightsError: there is none; says so of what names a backbone's, as ``embedded``.
    """
    from detbench.training import lookup

    path = inputs.expanded(weights)
    if path.is_file():
        return path
    said = "no such file: detbench train makes one"
    if path.is_dir():
        said = "a folder: name a file in it, as weights.pt"
    elif not lookup.is_file(weights):
        said = (
            "no such file, and weights by name only start a training: give a file of the whole "
            "detector, as the weights.pt that detbench train makes"
        )
    raise WeightsError(f"--weights {weights}: {said}")


def settings(
    profile: str | None, dataset: str | None, overrides: Sequence[str]
) -> tuple[Data, Evaluation]:
    """Data set and evaluation without a detector; by default the paper's.

    Raises:
        RecipeError: mistakes in the names or settings.
    """
    from detbench.recipe import resolve

    data = resolve.parse_dataset(dataset) if dataset else None
    found = resolve.scored(profile or "paper", overrides, data)
    return found.data, found.evaluation


def log_to_stderr() -> None:
    """Show what the library logs (where weights came from), without decoration.

    Of several processes the first one's.
    """
    handler = logging.NullHandler() if common.rank() else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("detbench")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


@contextmanager
def shown(label: str) -> Iterator[Report]:
    """A report that draws a bar on a terminal, and elsewhere prints a line now and then."""
    if not sys.stderr.isatty() or common.rank():
        yield _lines(label)
        return
    with bars(sys.stderr) as bar:
        task = bar.add_task(label, total=None, left="")

        def report(at: Progress) -> None:
            left, name = "  ".join(_details(at)), f"{label}: {at.phase}"
            done, total = at.iteration, at.iterations
            bar.update(task, description=name, completed=done, total=total, left=left)

        yield report


def _lines(label: str) -> Report:
    last: dict[str, float] = {}

    def report(at: Progress) -> None:
        now = time.monotonic()
        ended = at.iteration == at.iterations
        if ended or now - last.setdefault(at.phase, now) >= PLAIN_EVERY_S:
            last[at.phase] = now
            words = [f"{label}: {at.phase} {at.iteration}/{at.iterations}", *_details(at)]
            common.say(", ".join(words))

    return report


def _details(at: Progress) -> list[str]:
    words = [] if at.loss is None else [f"loss {at.loss:.3f}"]
    if at.remaining is not None and at.iteration < at.iterations:
        words.append(f"ETA {duration(at.remaining)}")
    return words


def both(*reports: Callable[[Progress], None]) -> Report:
    """A report that passes on to each, in order."""

    def report(at: Progress) -> None:
        for one in reports:
            one(at)

    return report


def protocol(source: str, images: int, evaluation: Evaluation, engine: Engine) -> str:
    """The sentence below a table of scores."""
    sizes = f"{32 * evaluation.area_scale:g} and {96 * evaluation.area_scale:g} pixels"
    return (
        f"On {source}, {images} images; "
        f"{evaluation.max_detections} detections per image and class; "
        f"sizes parted at the squares of {sizes}; by {engine_name(engine)}. In percent."
    )


def engine_name(engine: Engine) -> str:
    """The package that scores, with its version."""
    from importlib.metadata import version

    if engine == "detbench":
        return f"detbench {__version__}, equal to pycocotools"
    package = "faster-coco-eval" if engine == "faster" else "pycocotools"
    return f"{package} {version(package)}"
