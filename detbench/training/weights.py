"""Weights from a name, a file of ours, a backbone's file, or an MMDetection checkpoint.

Nothing is downloaded unless the user gave its name: what a recipe has as default is used when it
lies in the cache of torch hub or Hugging Face, and is otherwise an error that says what to do.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from detbench.detectors.fitting import Fit, load
from detbench.errors import WeightsError
from detbench.training import checkpoint, lookup

logger = logging.getLogger(__name__)

State = dict[str, Tensor]
Origin = Literal["detbench", "MMDetection", "other"]
CLASSIFIER = ("fc.", "classifier.", "head.")

# Of mmcv's open_mmlab.json what our recipes name. The end of a file's name begins its sha256.
OPEN_MMLAB_ADDRESS = "https://download.openmmlab.com/pretrain/third_party/"
OPEN_MMLAB_FILES = {
    "detectron2/resnet50_caffe": "resnet50_msra-5891d200.pth",
    "detectron2/resnet101_caffe": "resnet101_msra-6cc46731.pth",
    "resnext101_32x4d": "resnext101_32x4d-a5af3160.pth",
    "resnext101_64x4d": "resnext101_64x4d-ee2c6f71.pth",
}


@dataclass(frozen=True)
class Named:
    """Published backbone weights.

    Attributes:
        origin: ``torchvision``, ``timm`` or ``OpenMMLab``.
        path: where they lie once they are here; none where that is not known before.
        cached: whether they do.
        load: reads them, from the network if they do not.
    """

    origin: str
    path: Path | None
    cached: bool
    load: Callable[[], State]


def initialise(
    detector: nn.Module, wanted: str, default: str | None = None, allow_partial: bool = False
) -> None:
    """Give ``detector`` its initial weights; logs where they came from.

    Args:
        wanted: ``none``; ``default``, the backbone recipe's; a torchvision or timm name; a file.
        default: what the recipe's backbone names, or none; it is not downloaded.
        allow_partial: take what fits where the keys or shapes of both do not agree.

    Raises:
        WeightsError: they cannot be had or do not fit.
    """
    start = lookup.start(wanted, default)
    if not start.name and not start.default:
        _scratch(detector)
        return
    named = find(start.name) if lookup.needs_lookup(start) else None
    found = lookup.Found(named.origin, cached=named.cached) if named else None
    if said := lookup.problem(start, found):
        raise WeightsError(said)
    if named is None:
        load_file(detector, Path(start.name).expanduser(), allow_partial)
    else:
        _load_backbone(detector, fetch(start.name, named), start.name, allow_partial)


def save(path: Path, detector: nn.Module) -> None:
    """Write the weights of a detector, on whatever device, for ``load_file``.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    state = {name: tensor.cpu() for name, tensor in detector.state_dict().items()}
    checkpoint.save(path, {"detector": state})


def load_file(
    detector: nn.Module, path: Path, allow_partial: bool = False, whole: bool = False
) -> Fit:
    """Load a file into ``detector``: a checkpoint of ours, MMDetection's, or a backbone's.

    Args:
        whole: a file of the backbone alone will not do.

    Returns:
        What fitted, of the detector or, for a backbone's file, of the backbone.

    Raises:
        WeightsError: missing, damaged, or made for another detector.
    """
    origin, state = read(path)
    if origin == "detbench":
        return _load(detector, state, str(path), allow_partial)
    if origin == "MMDetection":
        from detbench.detectors.importer import import_mmdet

        try:
            fit = import_mmdet(detector, state, allow_partial)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from error
        if not fit.whole:
            logger.warning("%s: loaded in part: keys %s", path, fit.sentence())
    elif whole or set(state) & set(detector.state_dict()):
        fit = _load(detector, state, str(path), allow_partial)
    else:
        fit = _load_backbone(detector, state, str(path), allow_partial)
    logger.info("weights from %s", path)
    return fit


def read(path: Path) -> tuple[Origin, State]:
    """The weights in a file by their names there, and whose file it is.

    Raises:
        WeightsError: missing, damaged, or not a file of weights.
    """
    content = checkpoint.read(path)
    ours = isinstance(content, dict) and content.get("format") == checkpoint.FORMAT
    key = "detector" if ours else "state_dict"
    state = content.get(key, content) if isinstance(content, dict) else content
    if not _is_state(state):
        raise WeightsError(f"{path}: holds no tensors by name: not a file of weights")
    if ours:
        return "detbench", state
    if any(name.startswith(("bbox_head.", "rpn_head.", "roi_head.")) for name in state):
        return "MMDetection", state
    return "other", state


def find(name: str) -> Named:
    """Look up a name of published weights, without touching the network.

    Args:
        name: ``ResNet50_Weights.IMAGENET1K_V1``, ``resnet50`` (the same, torchvision's first), a
            name of timm's, as in ``resnet50.a1_in1k``, or one of OpenMMLab's that a recipe names,
            as in ``open-mmlab://detectron2/resnet50_caffe``.

    Raises:
        WeightsError: nobody has it.
    """
    if name.startswith(lookup.OPEN_MMLAB):
        return _open_mmlab(name)
    named = _torchvision(name) or _timm(name)
    if named is None:
        from torchvision.models import list_models

        close = difflib.get_close_matches(name, list_models(), 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise WeightsError(
            f"weights '{name}': no such file, and no torchvision or timm weights of that name{hint}"
        )
    return named


def _open_mmlab(name: str) -> Named:
    file = OPEN_MMLAB_FILES.get(name.removeprefix(lookup.OPEN_MMLAB))
    if file is None:
        known = ", ".join(f"{lookup.OPEN_MMLAB}{one}" for one in OPEN_MMLAB_FILES)
        raise WeightsError(f"weights '{name}': unknown (known are {known}): give a file instead")
    # Where MMDetection keeps its own copy.
    path = Path(torch.hub.get_dir()) / "checkpoints" / file

    def load() -> State:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            begins = path.stem.rpartition("-")[2]
            address = OPEN_MMLAB_ADDRESS + file
            torch.hub.download_url_to_file(address, str(path), begins, progress=False)
        return read(path)[1]

    return Named("OpenMMLab", path, path.is_file(), load)


def _torchvision(name: str) -> Named | None:
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        if "_Weights." in name:
            weights = get_weight(name)
        elif name in list_models():
            weights = get_model_weights(name)["IMAGENET1K_V1"]
        else:
            return None
    except (ValueError, KeyError, AttributeError):
        return None
    cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    return Named(
        "torchvision",
        cache,
        cache.is_file(),
        lambda: weights.get_state_dict(progress=False, check_hash=True),
    )


def _timm(name: str) -> Named | None:
    import timm

    try:
        settings = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # the network is timm's, the part after the dot is not
        settings = None
    if settings is None:
        return None

    def load() -> State:
        network: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
        return dict(network.state_dict())

    path, cached = _timm_cache(settings)
    return Named("timm", path, cached, load)


def _timm_cache(settings: Any) -> tuple[Path | None, bool]:
    """Where timm's weights lie or would lie, and whether they do."""
    if settings.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        files = ("model.safetensors", "pytorch_model.bin")
        found = (try_to_load_from_cache(settings.hf_hub_id, name) for name in files)
        path = next((Path(one) for one in found if isinstance(one, str)), None)
        return path, path is not None
    if not settings.url:
        return None, False
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(settings.url).name
    return path, path.is_file()


def fetch(name: str, named: Named | None = None) -> State:
    """Weights by name: from the cache, else from the network, which fills the cache.

    Raises:
        WeightsError: there are none of that name, or they cannot be downloaded.
    """
    named = named or find(name)
    try:
        return named.load()
    except (OSError, RuntimeError) as error:  # no network, or a hash that does not agree
        reason = " ".join(str(getattr(error, "reason", error)).split()).partition(". ")[0]
        raise WeightsError(
            f"weights '{name}' cannot be downloaded: {reason}: give a file instead"
        ) from error


def _is_state(state: Any) -> bool:
    return (
        isinstance(state, dict)
        and len(state) > 0
        and all(isinstance(name, str) for name in state)
        and all(isinstance(value, Tensor) for value in state.values())
    )


def _load_backbone(detector: nn.Module, state: State, name: str, allow_partial: bool) -> Fit:
    parts: Any = detector
    kept = {key: value for key, value in state.items() if not key.startswith(CLASSIFIER)}
    fit = _load(parts.parts()["backbone"], kept, name, allow_partial)
    logger.info("backbone weights: %s", name)
    return fit


def _load(module: nn.Module, state: State, name: str, allow_partial: bool) -> Fit:
    """Load ``state`` where names and shapes agree; disagreement is an error unless allowed."""
    origin = f"{name}: made for another detector or number of classes"
    fit = load(module, state, allow_partial, origin)
    if not fit.whole:
        logger.warning("%s: loaded in part: keys %s", name, fit.sentence())
    return fit


def _scratch(detector: nn.Module) -> None:
    frozen = sum(not parameter.requires_grad for parameter in detector.parameters())
    also = f"; {frozen} frozen tensors keep their random values" if frozen else ""
    logger.warning("training from scratch, as training.weights = none asks%s", also)
