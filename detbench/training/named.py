"""Weights by name: torchvision's, timm's, those of OpenMMLab that recipes name, and our own.

``python -m detbench.training.named NAME...`` answers ``lookup.look_up``, as JSON.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detbench.errors import WeightsError
from detbench.recipe import embedded
from detbench.training import files, lookup

State = dict[str, Tensor]

# The entries of mmcv's open_mmlab.json that our recipes name. A file's name ends in the first
# digits of its sha256.
OPEN_MMLAB_ADDRESS = "https://download.openmmlab.com/pretrain/third_party/"
OPEN_MMLAB_FILES = {
    "detectron2/resnet50_caffe": "resnet50_msra-5891d200.pth",
    "detectron2/resnet101_caffe": "resnet101_msra-6cc46731.pth",
    "resnext101_32x4d": "resnext101_32x4d-a5af3160.pth",
    "resnext101_64x4d": "resnext101_64x4d-ee2c6f71.pth",
}


@dataclass(frozen=True)
class Named:
    """Published weights, of a backbone or of one of torchvision's detectors.

    Attributes:
        origin: ``torchvision``, ``timm``, ``OpenMMLab`` or ``detbench``.
        path: where they lie once they are here; None if that is not known before.
        cached: whether they do.
        load: reads them, from the network if they do not.
        pixels: see ``lookup.Answer``.
    """

    origin: str
    path: Path | None
    cached: bool
    load: Callable[[], State]
    pixels: Sequence[Sequence[float]] = ()


def find(name: str) -> Named:
    """Look up a name of published weights, without touching the network.

    Args:
        name: ``ResNet50_Weights.IMAGENET1K_V1``, ``resnet50`` (the same, torchvision's first), a
            name of timm's, as in ``resnet50.a1_in1k``, or ``timm:resnet50`` where torchvision has
            the name too, one of OpenMMLab's that a recipe names,
            as in ``open-mmlab://detectron2/resnet50_caffe``, or a file's beside the recipes, as in
            ``embedded:resnet14-w0.25-1a2b3c4d-5e6f7a8b``.

    Raises:
        WeightsError: the name is unknown.
    """
    if name.startswith(lookup.OPEN_MMLAB):
        return _open_mmlab(name)
    if embedded.is_name(name):
        return _embedded(name)
    if name.startswith(lookup.TIMM):
        own = name.removeprefix(lookup.TIMM)
        if (found := _timm(own)) is None:
            from timm import list_models as networks

            close = difflib.get_close_matches(own, networks(), 1)
            hint = f", did you mean '{close[0]}'?" if close else ""
            raise WeightsError(f"'{name}': timm has no network of that name{hint}")
        return found
    named = _torchvision(name) or _timm(name)
    if named is None:
        from torchvision.models import list_models

        close = difflib.get_close_matches(name, list_models(), 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise WeightsError(
            f"weights '{name}': no such file, and no torchvision or timm weights of that name{hint}"
        )
    return named


def _embedded(name: str) -> Named:
    path = embedded.path(name)

    def load() -> State:
        # Large files keep convolutions in half precision.
        state = files.read(path).state
        return {key: x.float() if x.is_floating_point() else x for key, x in state.items()}

    return Named(embedded.ORIGIN, path, True, load)


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
        return files.read(path).state

    return Named("OpenMMLab", path, path.is_file(), load)


def _torchvision(name: str) -> Named | None:
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        if "_Weights." in name:
            weights = get_weight(name)
        elif name in list_models():
            known = get_model_weights(name).__members__
            weights = known.get("IMAGENET1K_V1") or known["COCO_V1"]
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
    pixels = [[255 * value for value in values] for values in (settings.mean, settings.std)]
    return Named("timm", path, cached, load, pixels)


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


def _answers(names: Sequence[str]) -> dict[str, lookup.Answer]:
    answers = {}
    for name in names:
        try:
            named = find(name)
        except WeightsError as error:
            answers[name] = lookup.Answer(problem=str(error))
        else:
            path = str(named.path or "")
            answers[name] = lookup.Answer(named.origin, path, named.cached, pixels=named.pixels)
    return answers


if __name__ == "__main__":
    print(json.dumps({name: asdict(one) for name, one in _answers(sys.argv[1:]).items()}))
