"""Weights from a name, a file of ours, a backbone's file, or a checkpoint of MMDetection,
torchvision or detectron2.

Nothing is downloaded unless the user gave its name: what a recipe has as default is used when it
lies in the cache of torch hub or Hugging Face, and is otherwise an error that says what to do.

A checkpoint that says what its classes are called is joined with the detector's by their names.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from detbench import inputs
from detbench.backbones.names import DROPPED, as_torchvision
from detbench.backbones.pretrained import Cover, cover
from detbench.detectors import detectron2_importer, importer, torchvision_importer
from detbench.detectors.fitting import IMPORT, PARTIAL, Fit, load
from detbench.detectors.foreign import ForeignState
from detbench.errors import WeightsError
from detbench.recipe.model import Pixels
from detbench.stages import classes
from detbench.training import checkpoint, files, lookup
from detbench.training.extension import Extended
from detbench.training.files import Content, read
from detbench.training.named import Named, fetch, find

logger = logging.getLogger(__name__)

__all__ = ["Named", "fetch", "find", "initialise", "load_file", "read", "save"]

State = dict[str, Tensor]


def initialise(
    detector: nn.Module, wanted: str, default: str | None = None, allow_partial: bool | None = False
) -> None:
    """Give ``detector`` its initial weights; logs where they came from.

    Args:
        wanted: ``none``; ``default``, the backbone recipe's; a name of torchvision, timm, OpenMMLab
            or detbench; a file.
        default: what the recipe's backbone names, or None; it is not downloaded.
        allow_partial: take what fits where the keys or shapes of both do not agree; None where
            whoever asks has no such option, which is then not advised.

    Raises:
        WeightsError: they cannot be had or do not fit.
    """
    start = lookup.start(wanted, default)
    if not start.name and not start.default:
        _scratch(detector)
        return
    named = find(start.name) if lookup.is_published(start.name) else None
    found = lookup.Answer(named.origin, cached=named.cached) if named else None
    if said := lookup.problem(start, found):
        raise WeightsError(said)
    if named is None:
        load_file(detector, inputs.expanded(start.name), allow_partial)
    else:
        file = named.path.name if named.path else ""
        content = files.of_state(fetch(start.name, named), file)
        load_content(detector, content, start.name, allow_partial, whole=False)


def warn_of_pixels(detector: Any, wanted: str, pixels: Pixels) -> None:
    """Log one line where a backbone says that its weights were trained on other pixels."""
    trained = getattr(detector.backbone, "pixels", ()) if wanted != "none" else ()
    if said := lookup.other_pixels(wanted, pixels, trained):
        logger.warning("training.weights = %s", said)


def save(path: Path, detector: nn.Module, extended: Extended = ()) -> None:
    """Write the weights of a detector, on whatever device, and the names of its classes.

    Args:
        extended: where its training went on, if that is not the one of its settings.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    state = {name: tensor.cpu() for name, tensor in detector.state_dict().items()}
    content = {"detector": state, "classes": class_names(detector)}
    checkpoint.save(path, content | ({"extended": list(extended)} if extended else {}))


def class_names(detector: nn.Module) -> list[str] | None:
    """Names of a detector's classes in the order of its labels; None if they are unknown."""
    names: tuple[str, ...] | None = getattr(detector, "class_names", None)
    return None if names is None else list(names)


def load_file(
    detector: nn.Module, path: Path, allow_partial: bool | None = False, whole: bool = False
) -> Fit:
    """Load a file into ``detector``: a checkpoint of ours or another project's, or a backbone's.

    Args:
        whole: a file of the backbone alone will not do.

    Returns:
        What fitted, of the detector or, for a backbone's file, of the backbone.

    Raises:
        WeightsError: missing, damaged, or made for another detector or other classes.
    """
    return load_content(detector, read(path), str(path), allow_partial, whole)


def load_content(
    detector: Any,
    content: Content,
    name: str,
    allow_partial: bool | None = False,
    whole: bool = False,
) -> Fit:
    """Load what a file holds into ``detector``; arguments and errors are ``load_file``'s.

    Args:
        name: of the file, for messages.
    """
    if not whole and is_backbone(detector, content):
        own = cover(detector)
        state = for_backbone(own, content.state)
        fit = _load(detector, state, name, allow_partial, own)
        logger.info("backbone weights: %s", name)
        return fit
    translated = translate(detector, content)
    how = {"how": f"{IMPORT} writes"} if allow_partial is None else {}
    if (refusal := translated.refusal(content.origin, **how)) and not allow_partial:
        raise WeightsError(f"{name}: {refusal}")
    state = join(detector, translated, name, allow_partial)
    fit = _load(detector, state, name, allow_partial)
    for remark in (*translated.differences, *translated.remarks):
        logger.warning("%s: %s's network differs: %s", name, content.origin, remark)
    logger.info("weights from %s", name)
    return fit


def is_backbone(detector: nn.Module, content: Content) -> bool:
    """Whether a file is of a backbone alone."""
    return content.origin == "other" and not set(content.state) & set(detector.state_dict())


def for_backbone(own: Cover, state: State) -> State:
    """A backbone's file under the names of a detector, once for each copy of a part.

    Args:
        own: the parts of the detector that start from it.

    Returns:
        The tensors. Those that the detector does not read keep their names, and those that it does
        not need by design are left out.
    """
    wanted = set(own.names.values())
    if not wanted <= set(state):
        state = as_torchvision(state)
    taken = {name: state[there] for name, there in own.names.items() if there in state}
    unread = tuple(f"{part}." for part in own.not_read)
    return taken | {
        name: tensor
        for name, tensor in state.items()
        if name not in wanted and not DROPPED.fullmatch(name) and not name.startswith(unread)
    }


def translate(detector: Any, content: Content) -> ForeignState:
    """A file's tensors under the detector's names."""
    match content.origin:
        case "MMDetection":
            laterals = len(getattr(getattr(detector, "neck", None), "lateral", ()))
            return ForeignState(importer.translate(content.state, laterals), content.classes)
        case "torchvision":
            return torchvision_importer.translate(detector, content.state, content.file)
        case "detectron2":
            return detectron2_importer.translate(detector, content.state)
    return ForeignState(content.state, content.classes)


def join(detector: Any, given: ForeignState, name: str, allow_partial: bool | None) -> State:
    """The tensors with the rows of classes in the order of the detector's class names.

    A detector without class names gets the file's.

    Raises:
        WeightsError: other classes, and ``allow_partial`` is off. If it is on, the layers that have
            rows of classes are left out.
    """
    wanted: tuple[str, ...] | None = getattr(detector, "class_names", None)
    if given.classes is None:
        if wanted is not None:
            logger.warning(
                "%s: does not name its classes: they are taken to be the data's, in their order "
                "(%s)",
                name,
                ", ".join(wanted[:3]) + (", ..." if len(wanted) > 3 else ""),
            )
        return given.state
    if wanted is None:
        if len(given.classes) == getattr(detector, "num_classes", None):
            detector.class_names = given.classes
        return given.state
    if given.classes == wanted:
        return given.state
    order = classes.order(given.classes, wanted)
    rows = classes.class_rows(detector)
    if order is None:
        odd = classes.difference(given.classes, wanted)
        said = f"{name}: its {len(given.classes)} classes are not the data's {len(wanted)}: {odd}"
        if not allow_partial:
            raise WeightsError(f"{said}: {PARTIAL[allow_partial is None]}")
        logger.warning("%s: the layers that tell classes apart are not loaded", said)
        return {name: tensor for name, tensor in given.state.items() if name not in rows}
    if order != sorted(order):
        logger.warning("%s: its classes are in another order: joined by name", name)
    count = len(order)
    return given.state | {
        key: rows[key].taken(given.state[key], order, count)
        for key in rows
        if key in given.state and len(given.state[key]) >= count * rows[key].outer * rows[key].inner
    }


def _load(
    module: nn.Module, state: State, name: str, allow_partial: bool | None, own: Cover | None = None
) -> Fit:
    """Load ``state`` where names and shapes agree; disagreement is an error unless allowed."""
    origin = f"{name}: made for another detector or number of classes"
    expected = None if own is None else set(own.names)
    fit = load(module, state, allow_partial, origin, expected)
    if not fit.whole:
        logger.warning("%s: loaded in part: keys %s", name, fit.sentence())
    return fit


def _scratch(detector: nn.Module) -> None:
    frozen = sum(not parameter.requires_grad for parameter in detector.parameters())
    also = f"; {frozen} frozen tensors keep their random values" if frozen else ""
    logger.warning("training from scratch, as training.weights = none asks%s", also)
