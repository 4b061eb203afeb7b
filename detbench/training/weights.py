"""Weights from a name, a file of ours, a backbone's file, or an MMDetection checkpoint.

Nothing is downloaded unless the user gave its name: what a recipe has as default is used when it
lies in the cache of torch hub or Hugging Face, and otherwise training starts from scratch.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detbench.errors import WeightsError
from detbench.training import checkpoint

logger = logging.getLogger(__name__)

State = dict[str, Tensor]
CLASSIFIER = ("fc.", "classifier.", "head.")
SUFFIXES = (".pt", ".pth", ".safetensors", ".pkl", ".bin", ".tar")


@dataclass(frozen=True)
class Named:
    """Published backbone weights.

    Attributes:
        cached: whether they lie on this machine.
        load: reads them, from the network if they do not.
    """

    cached: bool
    load: Callable[[], State]


def initialise(
    detector: nn.Module, wanted: str, default: str | None = None, allow_partial: bool = False
) -> None:
    """Give ``detector`` its initial weights; logs where they came from.

    Args:
        wanted: ``none``; ``default``, the backbone recipe's; a torchvision or timm name; a file.
        default: what the recipe's backbone names, or none.
        allow_partial: take what fits where the keys or shapes of both do not agree.

    Raises:
        WeightsError: they cannot be had or do not fit.
    """
    if wanted == "none":
        _scratch(detector, "as training.weights = none asks")
    elif wanted != "default":
        if _is_file(wanted):
            load_file(detector, Path(wanted), allow_partial)
        else:
            _load_backbone(detector, _download(wanted), wanted, allow_partial)
    elif default is None:
        _scratch(detector, "the recipe names no weights")
    elif "://" in default:
        _scratch(detector, f"{default} is in neither torchvision nor timm; give a file of it")
    elif _is_file(default):
        load_file(detector, Path(default), allow_partial)
    else:
        named = find(default)
        if named.cached:
            _load_backbone(detector, named.load(), default, allow_partial)
        else:
            _scratch(detector, f"{default} is not on this machine; --weights {default} fetches it")


def save(path: Path, detector: nn.Module) -> None:
    """Write the weights of a detector, on whatever device, for ``load_file``.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    state = {name: tensor.cpu() for name, tensor in detector.state_dict().items()}
    checkpoint.save(path, {"detector": state})


def load_file(
    detector: nn.Module, path: Path, allow_partial: bool = False, whole: bool = False
) -> None:
    """Load a file into ``detector``: a checkpoint of ours, MMDetection's, or a backbone's.

    Args:
        whole: a file of the backbone alone will not do.

    Raises:
        WeightsError: missing, damaged, or made for another detector.
    """
    content = checkpoint.read(path)
    if isinstance(content, dict) and content.get("format") == checkpoint.FORMAT:
        _load(detector, content["detector"], str(path), allow_partial)
        return
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not _is_state(state):
        raise WeightsError(f"{path}: holds no tensors by name: not a file of weights")
    if any(name.startswith(("bbox_head.", "rpn_head.", "roi_head.")) for name in state):
        from detbench.detectors.importer import import_mmdet

        try:
            import_mmdet(detector, state, allow_partial)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from error
    elif whole or set(state) & set(detector.state_dict()):
        _load(detector, state, str(path), allow_partial)
    else:
        _load_backbone(detector, state, str(path), allow_partial)
    logger.info("weights from %s", path)


def find(name: str) -> Named:
    """Look up a torchvision or timm name, without touching the network.

    Args:
        name: ``ResNet50_Weights.IMAGENET1K_V1``, ``resnet50`` (the same, torchvision's first), or
            a name of timm's, as in ``resnet50.a1_in1k``.

    Raises:
        WeightsError: neither has it.
    """
    named = _torchvision(name) or _timm(name)
    if named is None:
        from torchvision.models import list_models

        close = difflib.get_close_matches(name, list_models(), 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise WeightsError(
            f"weights '{name}': no such file, and no torchvision or timm weights of that name{hint}"
        )
    return named


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
    return Named(cache.is_file(), lambda: weights.get_state_dict(progress=False, check_hash=True))


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

    return Named(_timm_cached(settings), load)


def _timm_cached(settings: Any) -> bool:
    if settings.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        files = ("model.safetensors", "pytorch_model.bin")
        return any(isinstance(try_to_load_from_cache(settings.hf_hub_id, f), str) for f in files)
    cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(settings.url or "none").name
    return cache.is_file()


def _download(name: str) -> State:
    """Weights the user named: from the cache or the network."""
    named = find(name)
    try:
        return named.load()
    except (OSError, RuntimeError) as error:  # no network, or a hash that does not agree
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise WeightsError(
            f"weights '{name}' cannot be downloaded: {reason}: give a file instead"
        ) from error


def _is_file(name: str) -> bool:
    """Whether a weights setting means a file; a missing one is still meant as one."""
    return Path(name).is_file() or "/" in name or name.endswith(SUFFIXES)


def _is_state(state: Any) -> bool:
    return (
        isinstance(state, dict)
        and len(state) > 0
        and all(isinstance(name, str) for name in state)
        and all(isinstance(value, Tensor) for value in state.values())
    )


def _load_backbone(detector: nn.Module, state: State, name: str, allow_partial: bool) -> None:
    parts: Any = detector
    kept = {key: value for key, value in state.items() if not key.startswith(CLASSIFIER)}
    _load(parts.parts()["backbone"], kept, name, allow_partial)
    logger.info("backbone weights: %s", name)


def _load(module: nn.Module, state: State, name: str, allow_partial: bool) -> None:
    """Load ``state`` where names and shapes agree; disagreement is an error unless allowed.

    Counters of batches (``num_batches_tracked``), which older files lack, may be missing.
    """
    own = module.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    problems = {
        "missing": missing,
        "unknown": [k for k in state if k not in own],
        "of another shape": [k for k in state if k in own and k not in fitting],
    }
    said = "; ".join(
        f"{len(keys)} {problem} ({', '.join(keys[:2])}{', ...' if len(keys) > 2 else ''})"
        for problem, keys in problems.items()
        if keys
    )
    if said and not (allow_partial and fitting):
        advice = "nothing fits" if not fitting else "--allow-partial takes what fits"
        raise WeightsError(
            f"{name}: made for another detector or number of classes: keys {said}: {advice}"
        )
    if said:
        logger.warning("%s: loaded in part: keys %s", name, said)
    module.load_state_dict(fitting, strict=False)


def _scratch(detector: nn.Module, why: str) -> None:
    frozen = sum(not parameter.requires_grad for parameter in detector.parameters())
    also = f"; {frozen} frozen tensors keep their random values" if frozen else ""
    logger.warning("training from scratch: %s%s", why, also)
