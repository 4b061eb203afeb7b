"""Networks of timm's as backbones, returning C2 to C5.

Under a light profile they have fewer and narrower blocks, as far as their family's constructor
takes that: numbers of blocks as ``depths`` or ``layers``; widths as ``dims`` (ConvNeXt),
``embed_dim`` (Swin) or ``channels`` (ResNet, ResNeXt, SENet, Res2Net).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from timm import layers
from torch import Tensor, nn

from detbench import sharding
from detbench.backbones.resnet import DeformableConv, fix_statistics, freeze_norms
from detbench.errors import RecipeError

STRIDES = (4, 8, 16, 32)
LEAST = 8
"""Channels of the narrowest stage."""


@dataclass(frozen=True)
class TimmSettings:
    """What a network of timm's is, and what of it trains; see ``recipe.model.Timm``.

    Attributes:
        blocks: what the numbers of blocks of C2 to C5 are multiplied by; None leaves them.
    """

    name: str
    frozen_stages: int
    norm: Literal["frozen", "eval", "batch"]
    drop_path: float
    deformable: Literal["none", "v1", "v2"]
    deformable_stages: Sequence[int]
    width: float
    blocks: Sequence[float] | None = None


class Timm(nn.Module):
    """A network of timm's without what comes after its last map.

    Args:
        settings: see there.
        stages: how many of C2..C5 are made; 3 for detectors on C4.

    Attributes:
        channels: widths of its maps.
        from_backbone, not_read: what it is called, and what is not needed, in a file of the whole
            network, see ``backbones.pretrained``.
        pixels: mean and deviation of the pixels, in [0, 255], that its weights were trained on.

    Raises:
        RecipeError: timm has no such network, or it lacks what the settings ask for.
    """

    def __init__(self, settings: TimmSettings, stages: int = 4) -> None:
        super().__init__()
        self.settings = settings
        whole = _whole(settings.name)
        self.pixels = tuple(
            tuple(255 * value for value in whole.pretrained_cfg[name]) for name in ("mean", "std")
        )
        maps = _maps(whole, settings.name)
        self.body: Any
        self.body = timm.create_model(
            settings.name,
            features_only=True,
            out_indices=tuple(index for index, _ in maps[:stages]),
            **_arguments(settings, whole, [module for _, module in maps]),
        )
        self.channels = [int(count) for count in self.body.feature_info.channels()]
        self.channels_last = str(getattr(self.body, "output_fmt", "")).endswith("NHWC")
        flat = dict(_flat(whole))
        self.from_backbone = {
            f"body.{name}": flat[name] for name, _ in self.body.named_children() if name in flat
        }
        self.not_read = tuple(_unread(flat.values(), self.from_backbone.values()))
        self._kept = tuple(getattr(whole, "no_weight_decay", tuple)())
        _replace_drop_paths(self.body)
        if settings.deformable != "none":
            _deform(self._stages(), settings)
        self._freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to C2, C3, C4, C5 at strides 4, 8, 16, 32; any H and W will do."""
        height, width = images.shape[-2:]
        missing = (0, -width % STRIDES[-1], 0, -height % STRIDES[-1])
        maps = self.body(F.pad(images, missing) if any(missing) else images)
        if self.channels_last:
            maps = [x.permute(0, 3, 1, 2) for x in maps]
        sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
        return [x[..., :h, :w] for x, (h, w) in zip(maps, sizes, strict=False)]

    def no_weight_decay(self) -> set[str]:
        """Parameters that do not decay, as timm says: tables of positions, as Swin's."""
        named = {
            own + name.removeprefix(theirs)
            for own, theirs in self.from_backbone.items()
            for name in self._kept
            if name == theirs or name.startswith(f"{theirs}.")
        }
        return named & {name for name, _ in self.named_parameters()}

    def _stages(self) -> list[list[nn.Module]]:
        """The modules of the stem, C2, and so on, by the order in which the network has them.

        Raises:
            RecipeError: it has no modules that make these maps.
        """
        modules = dict(self.body.named_modules())
        order, found, start = list(modules), list[list[nn.Module]](), 1
        for name in self.body.feature_info.module_name():
            own = name if name in modules else name.replace(".", "_", 1)
            if own not in modules:
                raise RecipeError(
                    f"backbone.name: '{self.settings.name}' has no stages in a row: give "
                    "frozen_stages = 0 and deformable = 'none'"
                )
            if not found:
                found.append([modules[each] for each in order[start : order.index(own)]])
                start = order.index(own)
            inside = [each for each in order if each == own or each.startswith(f"{own}.")]
            end = order.index(inside[-1]) + 1
            found.append([modules[each] for each in order[start:end]])
            start = end
        return found

    @property
    def layers(self) -> list[list[nn.Module]]:
        """The stem, then each block with what leads to it: what learning rates fall by."""
        stem, *stages = self._stages()
        found = [stem]
        for modules in stages:
            blocks, started = _blocks(modules), False
            found.append([])
            for module in modules:
                if id(module) in blocks:
                    if started:
                        found.append([])
                    started = True
                found[-1].append(module)
        return found

    def _frozen(self) -> Iterator[nn.Module]:
        if self.settings.frozen_stages > 0:
            for modules in self._stages()[: self.settings.frozen_stages + 1]:
                yield from modules

    def _freeze(self) -> None:
        for module in self._frozen():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        if self.settings.norm == "frozen":
            freeze_norms(self)

    def train(self, mode: bool = True) -> Timm:
        """Switch to training; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.training = False
        if self.settings.norm != "batch":
            fix_statistics(self)
        return self


class DropPath(nn.Module):
    """Leave out a block for some images, with probability ``rate`` each (Huang et al. 2016).

    Draws are of the whole batch: of several processes each has its images' own, as one would have
    drawn them.
    """

    def __init__(self, rate: float, scale: bool) -> None:
        super().__init__()
        self.rate, self.scale = rate, scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...), in evaluation as it is."""
        if not self.training or self.rate == 0:
            return x
        kept = sharding.uniform((len(x), *[1] * (x.ndim - 1)), x.device) >= self.rate
        return x * (kept / (1 - self.rate) if self.scale else kept.float()).to(x.dtype)


def _replace_drop_paths(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, layers.DropPath):
                made = DropPath(float(child.drop_prob or 0.0), child.scale_by_keep)
                setattr(module, name, made)


def _whole(name: str) -> Any:
    """timm's network with its classifier, without memory.

    Raises:
        RecipeError: timm has none of that name.
    """
    try:
        with torch.device("meta"):
            return timm.create_model(name)
    except RuntimeError as error:
        close = difflib.get_close_matches(name, timm.list_models(), 1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise RecipeError(
            f"backbone.name: timm {timm.__version__} has no network '{name}'{hint}"
        ) from error


def _maps(whole: Any, name: str) -> list[tuple[int, str]]:
    """Place and module of each of C2 to C5 among the network's maps, the last of each stride.

    Raises:
        RecipeError: it has not all of them, or takes images of one size.
    """
    info = list(getattr(whole, "feature_info", ()))
    last = {one["reduction"]: (index, one["module"]) for index, one in enumerate(info)}
    if not set(STRIDES) <= set(last):
        found = ", ".join(map(str, sorted(last))) or "none"
        raise RecipeError(
            f"backbone.name: '{name}' has maps at strides {found}, and not 4, 8, 16 and 32: choose "
            "a network with stages, as convnext_tiny"
        )
    fixed = whole.pretrained_cfg.get("fixed_input_size", False)
    if fixed and "strict_img_size" not in _taken(whole):
        raise RecipeError(
            f"backbone.name: '{name}' takes images of one size alone: choose one without it, as "
            "swin_tiny_patch4_window7_224 or convnext_tiny"
        )
    return [last[stride] for stride in STRIDES]


def _taken(whole: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(type(whole).__init__).parameters)


def _flat(whole: nn.Module) -> Iterator[tuple[str, str]]:
    """What timm calls a network's children where maps are asked for, and what it calls them else.

    It puts the children of some sequences in their place, ``stages.0`` as ``stages_0``.
    """
    for name, child in whole.named_children():
        yield name, name
        if isinstance(child, nn.Sequential):
            for inner, _ in child.named_children():
                yield f"{name}_{inner}", f"{name}.{inner}"


def _unread(names: Iterable[str], read: Iterable[str]) -> Iterator[str]:
    """Those of ``names`` with nothing that is read in them or around them."""
    inside = [f"{name}." for name in read]
    for name in names:
        if not any(one.startswith(f"{name}.") or f"{name}.".startswith(one) for one in inside):
            yield name


def _arguments(settings: TimmSettings, whole: Any, modules: Sequence[str]) -> dict[str, Any]:
    """Of the network's constructor.

    Args:
        modules: of C2 to C5.

    Raises:
        RecipeError: it has no ``drop_path``.
    """
    taken, found = _taken(whole), dict[str, Any]()
    if settings.drop_path:
        if "drop_path_rate" not in taken:
            raise RecipeError(
                f"backbone.drop_path: '{settings.name}' cannot leave out blocks: drop it"
            )
        found["drop_path_rate"] = settings.drop_path
    if "strict_img_size" in taken:  # any size; windows shift as in detectors, on every map
        found |= {"strict_img_size": False, "always_partition": True}
    depths = next((name for name in ("depths", "layers") if name in taken), None)
    if settings.blocks and depths:
        stages = (whole.get_submodule(module) for module in modules)
        counts = (len(getattr(stage, "blocks", stage)) for stage in stages)
        pairs = zip(counts, settings.blocks, strict=True)
        found[depths] = tuple(max(1, int(count * share + 0.5)) for count, share in pairs)
    if settings.width != 1:
        found |= _widths(whole, taken, settings.width)
    return found


def _widths(whole: Any, taken: dict[str, inspect.Parameter], width: float) -> dict[str, Any]:
    if "embed_dim" in taken and "num_heads" in taken:  # heads stay as wide as they are
        old = whole.layers[0].blocks[0].attn.num_heads
        heads = max(1, int(old * width + 0.5))
        each = tuple(heads * 2**stage for stage in range(len(whole.layers)))
        return {"embed_dim": heads * (whole.embed_dim // old), "num_heads": each}
    if "channels" in taken:
        stem, planes = whole.conv1, taken["channels"].default
        found: dict[str, Any] = {"channels": tuple(_narrower(count, width) for count in planes)}
        conv: Any = getattr(whole.layer1[0], "conv2", None)
        groups = getattr(conv, "groups", 1)
        if groups > 1:  # narrower is fewer groups, each as wide as before
            found["cardinality"] = max(1, round(groups * width))
            found["base_width"] = round(conv.out_channels / groups / width)
        if isinstance(stem, nn.Sequential):
            found["stem_width"] = _narrower(whole.feature_info[0]["num_chs"] // 2, width)
        return found
    if "dims" in taken:
        return {"dims": tuple(_narrower(one["num_chs"], width) for one in whole.feature_info)}
    return {}


def _narrower(channels: int, width: float) -> int:
    """In proportion, a multiple of 8."""
    return max(LEAST, int(channels * width / 8 + 0.5) * 8)


def _blocks(stage: Iterable[nn.Module]) -> set[int]:
    """The blocks of a stage by their ids: what its sequences, or those called ``blocks`` in it, are
    made of.

    Args:
        stage: its modules in order, each before those inside it.
    """
    found: set[int] = set()
    inside: set[int] = set()
    for module in stage:
        sequence = getattr(module, "blocks", module)
        if id(module) not in inside and isinstance(sequence, nn.Sequential | nn.ModuleList):
            found |= {id(block) for block in sequence}
            inside |= {id(one) for one in module.modules()}
    return found


def _deform(stages: Sequence[Sequence[nn.Module]], settings: TimmSettings) -> None:
    """Replace the 3x3 convolutions of chosen stages by deformable ones of the same weights.

    Raises:
        RecipeError: a stage has none.
    """
    for stage in settings.deformable_stages:
        inside, count = stages[stage - 1] if stage <= len(stages) else (), 0
        own = {id(module) for module in inside}
        for module in inside:
            for name, child in list(module.named_children()):
                if id(child) in own and _is_plain(child):
                    setattr(module, name, _deformed(child, settings.deformable == "v2"))
                    count += 1
        if not count:
            raise RecipeError(
                f"backbone.deformable_stages: C{stage} of '{settings.name}' has no 3x3 convolution"
            )


def _is_plain(module: nn.Module) -> bool:
    """Whether it is a 3x3 convolution that a deformable one can stand for."""
    return type(module) is nn.Conv2d and (
        module.kernel_size == (3, 3)
        and module.padding == module.dilation == (1, 1)
        and module.stride[0] == module.stride[1]
    )


def _deformed(conv: Any, modulated: bool) -> DeformableConv:
    made = DeformableConv(conv, modulated)
    made.weight, made.bias = conv.weight, conv.bias
    return made
