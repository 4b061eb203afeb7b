"""Whether a module of the user's own keeps the contract of its place (``recipe.base.Custom``).

Each is tried once, as it is built, on a tiny input: what it takes, what it gives, which attributes
the stage reads. So a mistake is one line before anything is trained, as are shapes that do not fit;
another error of its own code is raised where it is made. Nothing is left of the trial: it draws no
random numbers of the training's, has no gradient, and modules are in evaluation mode.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from detbench.assembly.common import place_of, without_exit
from detbench.errors import RecipeError
from detbench.ops.candidates import Grid
from detbench.ops.coding import BoxCode
from detbench.pertask import PerTask
from detbench.recipe.base import Custom
from detbench.stages import outputs
from detbench.stages.assignment import BACKGROUND, Assigned, Assignment, Normaliser
from detbench.stages.assignment.proposals import Rois
from detbench.stages.features import Pyramid
from detbench.stages.predictor import Predictions, PredictorShape
from detbench.stages.sampling import Pooled, RoiPyramid
from detbench.stages.score import Product
from detbench.structures import Targets

Shape = tuple[int, ...]


class Trial:
    """What came of a ``Custom``, and its trial.

    Args:
        settings: of it.
        made: what its target made.
        needs: attributes that it must have.
    """

    def __init__(self, settings: Custom, made: Any, *needs: str) -> None:
        self.target = settings.target
        self.made = made
        if lacking := [name for name in needs if not hasattr(made, name)]:
            names = ", ".join(map(repr, lacking))
            raise self.fail(f"what it makes has no attribute {names}, which this stage reads")

    def fail(self, said: str) -> RecipeError:
        """The error that says what is wrong, and where the contract is."""
        return RecipeError(f"target {self.target!r}: {said}: see help(detbench.recipe.base.Custom)")

    def module(self, *arguments: str) -> None:
        """It is a module, whose ``forward`` takes these."""
        if not isinstance(self.made, nn.Module):
            raise self.fail(f"makes a {type(self.made).__name__}, and not a torch.nn.Module")
        self.takes(self.made.forward, "forward", *arguments)

    def takes(self, function: Any, name: str, *arguments: str) -> None:
        """``function``, called ``name``, can be called with as many arguments."""
        if not callable(function):
            raise self.fail(f"what it makes has no {name}({', '.join(arguments)})")
        try:
            signature = inspect.signature(function)
        except ValueError:  # of compiled code
            return
        try:
            signature.bind(*arguments)
        except TypeError as error:
            called = f"{name}({', '.join(arguments)})"
            raise self.fail(f"its {name} is called as {called}: {error}") from error

    def number(self, name: str, *choices: int) -> int:
        """Its attribute ``name``: a whole number above 0, or one of ``choices``."""
        value: Any = getattr(self.made, name, None)
        if not _is_whole(value) or (value not in choices if choices else value < 1):
            what = " or ".join(map(str, choices)) or "a whole number above 0"
            raise self.fail(f"its attribute {name!r} is {value!r} and must be {what}")
        return int(value)

    def one_of(self, name: str, value: Any, *choices: str) -> None:
        """Its attribute ``name``, ``value``, is one of these."""
        if value not in choices:
            listed = " or ".join(choices)
            raise self.fail(f"its attribute {name!r} is {value!r} and must be {listed}")

    @contextmanager
    def run(self, on: str) -> Iterator[None]:
        """Try it ``on`` what these words say."""
        modules = list(self.made.modules()) if isinstance(self.made, nn.Module) else []
        modes = [module.training for module in modules]
        for module in modules:
            module.training = False
        try:
            leaving = without_exit(self.target, f"tried on {on}, as it is built")
            with torch.no_grad(), torch.random.fork_rng(devices=[]), leaving:
                yield
        except Exception as error:
            if type(error) is RuntimeError:  # torch's, of shapes
                raise self.fail(f"given {on}: {place_of(error)}{error}") from error
            if not isinstance(error, RecipeError):
                error.add_note(f"raised while {self.target} was tried on {on}, as it was built")
            raise
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode

    def gives(self, found: Any, wanted: Sequence[Shape], on: str) -> None:
        """``found`` are maps of the ``wanted`` shapes."""
        if not isinstance(found, list | tuple) or not all(isinstance(x, Tensor) for x in found):
            raise self.fail(f"gives a {type(found).__name__} for {on}, and not a list of tensors")
        shapes = [tuple(x.shape) for x in found]
        if shapes != list(wanted):
            raise self.fail(f"gives {_listed(shapes)} for {on}, where {_listed(wanted)} is wanted")


def backbone(settings: Custom, made: Any, maps: int) -> None:
    """Images to ``maps`` maps from C2, at strides 4, 8 and so on."""
    trial = Trial(settings, made, "channels")
    trial.module("images")
    widths = made.channels
    if not isinstance(widths, list | tuple) or not all(map(_is_whole, widths)):
        raise trial.fail(f"its attribute 'channels' is {widths!r}, and not a list of widths")
    if len(widths) != maps:
        raise trial.fail(f"its 'channels' are {len(widths)}, where C2 to C{maps + 1} are wanted")
    wanted = [(1, width, 16 >> level, 16 >> level) for level, width in enumerate(widths)]
    on = "an image of 64 x 64"
    with trial.run(on):
        trial.gives(made(torch.zeros(1, 3, 64, 64)), wanted, on)


def neck(settings: Custom, made: Any, inputs: Sequence[int], levels: int) -> None:
    """Backbone maps to ``levels`` maps, each half the size of the one before."""
    trial = Trial(settings, made, "channels")
    trial.module("maps")
    width, on = trial.number("channels"), f"{len(inputs)} maps of the backbone"
    side = 2 ** max(levels, len(inputs))
    maps = [torch.zeros(1, c, side >> level, side >> level) for level, c in enumerate(inputs)]
    wanted = [(1, width, side >> level, side >> level) for level in range(levels)]
    with trial.run(on):
        trial.gives(made(maps), wanted, on)


def features(
    settings: Custom, made: Any, channels: int, below: int, first: int, count: int
) -> None:
    """A dense detector's pyramid to one map for each of its levels."""
    trial = Trial(settings, made, "channels", "coarseness")
    trial.module("pyramid")
    width, coarse = trial.number("channels"), trial.number("coarseness", 1, 2)
    sides = [2 ** (count - level) for level in range(count)]
    finer = sides[0] * (2 if first > 2 else 4)  # below P2 is the image itself
    on = f"a pyramid of {count} levels"
    with trial.run(on):
        levels = [torch.zeros(1, channels, side, side) for side in sides]
        found = made(Pyramid(levels, torch.zeros(1, below, finer, finer)))
        trial.gives(found, [(1, width, side // coarse, side // coarse) for side in sides], on)


def roi_features(
    settings: Custom, made: Any, widths: Sequence[int], channels: int, levels: int, pooled: int
) -> None:
    """An RoI detector's backbone maps and levels to levels, of which ``pooled`` are read."""
    trial = Trial(settings, made)
    trial.module("maps", "levels")
    side = 2 ** max(levels, len(widths))
    maps = [torch.zeros(1, c, side >> level, side >> level) for level, c in enumerate(widths)]
    start = maps[-1].shape[-1] if levels == 1 else side
    given = [torch.zeros(1, channels, start >> level, start >> level) for level in range(levels)]
    on = f"{len(maps)} maps and {levels} levels"
    with trial.run(on):
        found = made(maps, given)
        read = found[:pooled] if isinstance(found, list | tuple) else found
        trial.gives(read, [tuple(level.shape) for level in given[:pooled]], on)


def head(settings: Custom, made: Any, inputs: int) -> None:
    """A dense detector's maps to maps of the same size."""
    trial = Trial(settings, made, "channels")
    trial.module("features")
    width, on = trial.number("channels"), f"a map of {inputs} x 4 x 4"
    with trial.run(on):
        trial.gives([made(torch.zeros(1, inputs, 4, 4))], [(1, width, 4, 4)], on)


def roi_head(settings: Custom, made: Any, inputs: int, size: int) -> None:
    """Pooled regions, maybe none, to vectors."""
    trial = Trial(settings, made, "channels")
    trial.module("regions")
    width = trial.number("channels")
    for count in (2, 0):
        on = f"{count} regions of {inputs} x {size} x {size}"
        with trial.run(on):
            trial.gives([made(torch.zeros(count, inputs, size, size))], [(count, width)], on)


def sampling(settings: Custom, made: Any, channels: int, strides: Sequence[int]) -> None:
    """Regions, maybe none, of an RoI detector's pyramid to their features and boxes."""
    trial = Trial(settings, made, "size")
    trial.module("pyramid", "rois", "embedding")
    size = trial.number("size")
    hidden = trial.number("hidden") if getattr(made, "shifts", False) else 0
    sides = [2 * max(strides) // stride for stride in strides]
    for count in (2, 0):
        on = f"{count} regions"
        with trial.run(on):
            levels = [torch.zeros(1, channels, side, side) for side in sides]
            rois = torch.tensor([[0.0, 0.0, 0.0, 24.0, 16.0]]).repeat(count, 1)
            embedding = torch.zeros(count, hidden) if hidden else None
            found = made(RoiPyramid(levels, list(strides)), rois, embedding)
        if not isinstance(found, Pooled):
            raise trial.fail(f"gives a {type(found).__name__} for {on}, and not Pooled")
        wanted = [(count, channels, size, size), (count, 4)]
        trial.gives([found.features, found.boxes], wanted, on)


@dataclass(frozen=True)
class Outputs:
    """What modules of a dense detector are tried on.

    Attributes:
        grid, code, strides, classes: of the detector.
    """

    grid: Grid
    code: BoxCode
    strides: list[int]
    classes: int

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Of the smallest pyramid."""
        return [(2**level,) * 2 for level in range(len(self.strides), 0, -1)]

    def made(self) -> outputs.Outputs:
        """Outputs of two images, all of them zero."""
        candidates = self.grid.lay(self.sizes, self.strides, torch.zeros(()))
        shape = (2, len(candidates.points))
        logits, code = torch.zeros(*shape, self.classes), torch.zeros(*shape, self.code.dims)
        extras = {"quality": torch.zeros(shape)}
        return outputs.Outputs(logits, code, extras, candidates, self.code, Product("class"))

    def assigned(self) -> Assigned:
        """The first candidate of the first image is the first object, all others background."""
        made = self.made().detached
        matched = torch.full(made.logits.shape[:2], BACKGROUND)
        matched[0, 0] = 0
        pairs = (matched == 0).float()[:, None]
        return Assigned(Assignment(matched, pairs=pairs), _targets(1), made, epoch=0.0)


def predictor(
    settings: Custom, made: Any, shape: PredictorShape, trial: Outputs, extras: list[str]
) -> None:
    """A dense detector's towers to ``Predictions``, with these ``extras`` at least."""
    checked = Trial(settings, made)
    checked.module("towers", "sizes")
    on = "both tasks' towers"

    def tower(width: int, factor: int) -> list[Tensor]:
        return [torch.zeros(1, width, h // factor, w // factor) for h, w in trial.sizes]

    with checked.run(on):
        found = made(shape.channels.zip(shape.coarseness, tower), trial.sizes)
    if not isinstance(found, Predictions):
        raise checked.fail(f"gives a {type(found).__name__} for {on}, and not Predictions")
    if lacking := [name for name in extras if name not in found.extras]:
        raise checked.fail(f"gives no extra output {lacking[0]!r}, which a loss reads")
    widths = [(found.cls, trial.classes), (found.loc, trial.code.dims)]
    for maps, width in [*widths, *((maps, 1) for maps in found.extras.values())]:
        wanted = [(1, trial.grid.per_cell * width, *size) for size in trial.sizes]
        checked.gives(maps, wanted, on)


def score(settings: Custom, made: Any, trial: Outputs) -> None:
    """Class and extra outputs' probabilities to the score that ranks, of all or of chosen ones."""
    checked = Trial(settings, made, "select")
    checked.module("classes", "extras")
    checked.one_of("select", made.select, "class", "score")
    on = "scores of two images"
    with checked.run(on):
        for shape, extra in (((2, 3, trial.classes), (2, 3, 1)), ((4,), (4,))):
            found = made(torch.full(shape, 0.5), {"quality": torch.full(extra, 0.5)})
            checked.gives([found], [shape], on)


def levels(settings: Custom, made: Any, trial: Outputs) -> None:
    """Positives of each level to its factor."""
    checked, count = Trial(settings, made), len(trial.strides)
    checked.module("positives")
    on = f"positives of {count} levels"
    with checked.run(on):
        factors = made(torch.arange(count))
        checked.gives([factors], [(count,)], on)
        if not _on_meta() and not ((factors >= 0) & factors.isfinite()).all():
            raise checked.fail(f"gives {factors.tolist()} for {on}, and not factors from 0")


def assigner(settings: Custom, made: Any, trial: Outputs) -> None:
    """A dense detector's outputs to what each is taught; a batch may have no object."""
    checked = Trial(settings, made)
    checked.module("outputs", "targets", "epoch")
    checked.one_of("normaliser", getattr(made, "normaliser", "batch"), *get_args(Normaliser))
    if _without_values(made):
        return
    for count in (1, 0):
        on, targets = f"2 images with {count} objects in the first", _targets
        with checked.run(on), torch.device("cpu"):
            given = trial.made()
            found = made(given.detached, targets(count), 0.0)
        if not isinstance(found, Assignment):
            raise checked.fail(f"gives a {type(found).__name__} for {on}, and not an Assignment")
        shape = tuple(given.logits.shape[:2])
        parts = [x for x in (found.matched, found.weight, found.target) if x is not None]
        checked.gives(parts, [shape] * len(parts), on)
        if found.pairs is not None:
            checked.gives([found.pairs], [(2, count, shape[1])], on)


def loss(settings: Custom, made: Any, trial: Outputs, joint: bool) -> None:
    """A dense detector's outputs and what its task is taught, or both, to scalars by name."""
    checked = Trial(settings, made)
    checked.module("outputs", "assigned")
    if _without_values(made):
        return
    on = "2 images"
    with checked.run(on), torch.device("cpu"):
        assigned = trial.assigned()
        found = made(trial.made(), PerTask.both(assigned) if joint else assigned)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise checked.fail(f"gives a {type(found).__name__} for {on}, and not scalars by name")
    checked.gives(list(found.values()), [()] * len(found), on)


def proposals(settings: Custom, made: Any, rounds: bool) -> None:
    """What ``TaskProposals`` has; a round's sampler does what the main branch's does."""
    trial = Trial(settings, made, "nms", "train_count", "test_count", "sampler")
    trial.number("train_count")
    trial.number("test_count")
    if not isinstance(made.nms, int | float) or not 0 <= made.nms <= 1:
        raise trial.fail(f"its attribute 'nms' is {made.nms!r} and must be an IoU from 0 to 1")
    _sampler(trial, "sampler", made.sampler)
    if rounds:
        trial.takes(getattr(made.sampler, "at", None), "sampler.at", "positive")
        with trial.run("a round"):
            following = made.sampler.at(0.5)
        _sampler(trial, "sampler.at(positive)", following)


def _sampler(trial: Trial, name: str, sampler: Any) -> None:
    """The main branch's, or a round's: ``sample`` takes a batch's proposals, maybe none."""
    sample: Any = getattr(sampler, "sample", None)
    trial.takes(sample, f"{name}.sample", "boxes", "valid", "targets")
    if _on_meta():
        return
    for count, objects in ((3, 1), (0, 0)):
        on = f"2 images of {count} proposals"
        with trial.run(on):
            boxes = torch.tensor([8.0, 8.0, 24.0, 16.0]).expand(2, count, 4)
            valid = torch.ones(2, count, dtype=torch.bool)
            found = sample(boxes, valid, _targets(objects))
        if not isinstance(found, Rois):
            raise trial.fail(f"its {name} gives a {type(found).__name__} for {on}, and not Rois")
        shape = tuple(found.boxes.shape[:2])
        parts = [found.boxes, found.valid, found.matched]
        parts += [found.is_ground_truth, found.sample_count]
        trial.gives(parts, [(*shape, 4), shape, shape, shape, ()], on)


def _targets(objects: int) -> Targets:
    """Of two images, of which the second has no object."""
    boxes = [torch.tensor([[8.0, 8.0, 24.0, 16.0]])[:objects], torch.zeros(0, 4)]
    labels = [torch.zeros(len(image), dtype=torch.int64) for image in boxes]
    return Targets.pad(boxes, labels, torch.tensor([[64, 64]] * 2))


def _on_meta() -> bool:
    """Whether nothing has values, as where costs are counted, which takes no assignment or loss."""
    return torch.get_default_device().type == "meta"


def _without_values(made: Any) -> bool:
    """Whether a module cannot be tried as its own tensors have no values, where costs are counted.

    One without any is tried there too.
    """
    return _on_meta() and any(True for _ in (*made.parameters(), *made.buffers()))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(shapes: Sequence[Shape]) -> str:
    return ", ".join(str(shape).replace(",)", ")") for shape in shapes) or "nothing"
