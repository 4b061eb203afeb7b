"""Whether a module of the user's own keeps the contract of its place (``recipe.base.Custom``).

Each is tried once, as it is built, on a tiny input: what it takes, what it gives, and which
attributes the stage reads. So a mistake is one line before anything is trained, and an error of its
own code is raised where it is made. Nothing is left of the trial: it draws no random numbers of the
training's, has no gradient, and modules are in evaluation mode.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from detbench.errors import RecipeError
from detbench.ops.candidates import Grid
from detbench.ops.coding import BoxCode
from detbench.recipe.base import Custom
from detbench.stages.assignment import BACKGROUND, Assignment
from detbench.stages.assignment.proposals import Rois
from detbench.stages.features import Pyramid
from detbench.stages.sampling import Pooled, RoiPyramid
from detbench.stages.supervision import LocInputs
from detbench.structures import Targets

Shape = tuple[int, ...]


class Trial:
    """What came of a ``Custom``, and its trial.

    Args:
        settings: of it.
        made: what its target made.
    """

    def __init__(self, settings: Custom, made: Any) -> None:
        self.target = settings.target
        self.made = made

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

    @contextmanager
    def run(self, on: str) -> Iterator[None]:
        """Try it ``on`` what these words say."""
        modules = list(self.made.modules()) if isinstance(self.made, nn.Module) else []
        modes = [module.training for module in modules]
        for module in modules:
            module.training = False
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                yield
        except RecipeError:
            raise
        except Exception as error:
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
    trial = Trial(settings, made)
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
    trial = Trial(settings, made)
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
    trial = Trial(settings, made)
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
    trial = Trial(settings, made)
    trial.module("features")
    width, on = trial.number("channels"), f"a map of {inputs} x 4 x 4"
    with trial.run(on):
        trial.gives([made(torch.zeros(1, inputs, 4, 4))], [(1, width, 4, 4)], on)


def roi_head(settings: Custom, made: Any, inputs: int, size: int) -> None:
    """Pooled regions, maybe none, to vectors."""
    trial = Trial(settings, made)
    trial.module("regions")
    width = trial.number("channels")
    for count in (2, 0):
        on = f"{count} regions of {inputs} x {size} x {size}"
        with trial.run(on):
            trial.gives([made(torch.zeros(count, inputs, size, size))], [(count, width)], on)


def sampling(settings: Custom, made: Any, channels: int, strides: Sequence[int]) -> None:
    """Regions, maybe none, of an RoI detector's pyramid to their features and boxes."""
    trial = Trial(settings, made)
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


def assigner(settings: Custom, made: Any, grid: Grid, strides: Sequence[int], classes: int) -> None:
    """Candidates of a dense detector to what each is taught; a batch may have no object."""
    trial = Trial(settings, made)
    trial.takes(getattr(made, "assign", None), "assign", "candidates", "targets", "predictions")
    if _on_meta():
        return
    for count in (1, 0):
        on = f"2 images with {count} objects in the first"
        with trial.run(on):
            found = made.assign(*_assigning(grid, strides, classes, count))
        if not isinstance(found, Assignment):
            raise trial.fail(f"gives a {type(found).__name__} for {on}, and not an Assignment")
        number = sum(_laid(grid, strides).counts)
        trial.gives([found.matched, found.normaliser], [(2, number), ()], on)


def cls_loss(settings: Custom, made: Any, classes: int) -> None:
    """Logits and what they are taught to a scalar."""
    trial = Trial(settings, made)
    function = made.forward if isinstance(made, nn.Module) else made
    trial.takes(function, "loss", "logits", "labels", "assignment", "quality")
    if _on_meta():
        return
    on = "2 images of 4 candidates"
    with trial.run(on):
        quality = torch.zeros(2, 4) if made.needs_quality else None
        labels = torch.zeros(2, 4, dtype=torch.int64)
        trial.gives([made(torch.zeros(2, 4, classes), labels, _taught(4), quality)], [()], on)


def loc_loss(
    settings: Custom, made: Any, grid: Grid, strides: Sequence[int], code: BoxCode
) -> None:
    """``LocInputs`` to scalars by name."""
    trial = Trial(settings, made)
    trial.takes(made.forward if isinstance(made, nn.Module) else made, "loss", "inputs")
    if _on_meta():
        return
    candidates = _laid(grid, strides)
    number, on = len(candidates.points), "2 images"
    with trial.run(on):
        raw = torch.zeros(2, number, code.dims)
        decoded = code.decode(raw, candidates.boxes, candidates.strides)
        boxes = torch.tensor([8.0, 8.0, 24.0, 16.0]).expand(2, number, 4)
        scores = torch.zeros(2, number)
        found = made(LocInputs(code, raw, decoded, boxes, scores, candidates, _taught(number)))
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise trial.fail(f"gives a {type(found).__name__} for {on}, and not scalars by name")
    trial.gives(list(found.values()), [()] * len(found), on)


def proposals(settings: Custom, made: Any, rounds: bool) -> None:
    """What ``TaskProposals`` has; a round's sampler does what the main branch's does."""
    trial = Trial(settings, made)
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


def _laid(grid: Grid, strides: Sequence[int]) -> Any:
    count = len(strides)
    sizes = [(2 ** (count - level),) * 2 for level in range(count)]
    return grid.lay(sizes, list(strides), torch.zeros(()))


def _assigning(grid: Grid, strides: Sequence[int], classes: int, objects: int) -> tuple[Any, ...]:
    candidates = _laid(grid, strides)

    def predictions() -> tuple[Tensor, Tensor]:
        boxes = candidates.boxes.expand(2, -1, -1)
        return torch.full((2, len(candidates.points), classes), 0.5), boxes

    return candidates, _targets(objects), predictions


def _taught(count: int) -> Assignment:
    """The first candidate of the first of two images is the first object, all others background."""
    matched = torch.full((2, count), BACKGROUND)
    matched[0, 0] = 0
    return Assignment(matched, torch.tensor(1.0))


def _on_meta() -> bool:
    """Whether nothing has values, as where costs are counted, which takes no assignment or loss."""
    return torch.get_default_device().type == "meta"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(shapes: Sequence[Shape]) -> str:
    return ", ".join(str(shape).replace(",)", ")") for shape in shapes) or "nothing"
