"""Our detectors against torchvision's, on this machine, in one run.

    python benchmarks/speed.py                                # everything: 40 minutes on 2 cores
    python benchmarks/speed.py --sizes 256x256 --rounds 5     # three minutes
    python benchmarks/speed.py --detectors faster-rcnn
    python benchmarks/speed.py --device cuda --batch 8 --rounds 20

Times inference (normalisation, model, post-processing) and a training step (losses, backward, SGD)
of FCOS, RetinaNet and Faster R-CNN with ResNet-50: same input, same number of objects, same frozen
layers (stem, first stage, every batch norm), 80 classes, weights of torch's initialisation. Each
trains with its own SGD: ours with that of our training loop, which is fused, torchvision's with
that of its reference script; ``--same-sgd`` gives both the latter. Two settings of torchvision's
Faster R-CNN are made ours, which are MMDetection's: 1000 proposals an image to sample 512 from in
training, not 2000, and as many samples in a pooled cell as it has cells of the map, not 2 x 2.

All variants take turns in every round, ours right after torchvision's, so that they see the same
machine. Times are medians; a ratio is the median over the rounds of torchvision's time by ours.
``--busy`` is for a machine that others use too: one thread, and CPU time in place of the wall's.
On a GPU float32 is TF32 for everybody, convolutions and matrix products.
Beside each stands its rate of multiply-adds as a share of what a plain matrix product
reached in the same rounds. Prints a markdown table, and writes the raw samples to
``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import options
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.resnet import resnet50
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

from detbench.assembly import build_detector
from detbench.measure import flops
from detbench.measure.timing import Timing, interleaved
from detbench.recipe import load
from detbench.recipe.experiment import Sgd
from detbench.structures import Targets
from detbench.training import compiling, optimiser
from detbench.training.precision import autocast, memory_format

CLASSES = 80
OBJECTS = 8
PROPOSALS, SAMPLED = 1000, 512
INFERENCE, TRAINING = "inference", "training step"
MEAN = torch.tensor((123.675, 116.28, 103.53)).view(3, 1, 1)
STD = torch.tensor((58.395, 57.12, 57.375)).view(3, 1, 1)
LR = 1e-6  # the weights stay as they are, near enough
WARMUP = 2
GPU_SIDE = 8192
"""Of the matrix products on a GPU."""


@dataclass(frozen=True)
class Setting:
    """How the networks run."""

    name: str
    precision: str
    channels_last: bool
    compiled: bool = False


SETTINGS = (
    Setting("fp32", "fp32", False),
    Setting("fp32, channels-last", "fp32", True),
    Setting("bf16, channels-last", "bf16", True),
)
COMPILED = Setting("bf16, channels-last, compiled", "bf16", True, compiled=True)
"""Both by ``torch.compile``: backbone, neck and a dense detector's towers (``--compile``)."""


@dataclass(frozen=True)
class Scene:
    """One image and its objects, the same for everybody, ``batch`` times."""

    image: Tensor  # (3, H, W), in [0, 255]
    boxes: Tensor
    labels: Tensor
    batch: int

    @property
    def device(self) -> torch.device:
        return self.image.device


def scene(
    width: int, height: int, batch: int, device: torch.device, objects: int = OBJECTS
) -> Scene:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, height, width, generator=generator) * 255
    corner = torch.rand(objects, 2, generator=generator) * 0.5
    extent = 0.1 + torch.rand(objects, 2, generator=generator) * 0.4
    scale = torch.tensor((width, height, width, height))
    labels = torch.randint(0, CLASSES, (objects,), generator=generator)
    boxes = torch.cat((corner, corner + extent), dim=1) * scale
    return Scene(image.to(device), boxes.to(device), labels.to(device), batch)


class Ours:
    """A detector of ours and the two things timed."""

    def __init__(self, name: str, setting: Setting) -> None:
        spec = load.detector(f"{name}-r50").detector
        backbone = spec.backbone.model_copy(update={"norm": "frozen", "frozen_stages": 1})
        self.model: Any = build_detector(spec.model_copy(update={"backbone": backbone}), CLASSES)
        self.setting = setting
        prepare(self.model, setting)

    def images(self, sample: Scene) -> Tensor:
        layout = memory_format(self.setting.channels_last)
        device = sample.device
        image = (sample.image - MEAN.to(device)) / STD.to(device)
        return image.repeat(sample.batch, 1, 1, 1).contiguous(memory_format=layout)

    def infer(self, sample: Scene) -> object:
        sizes = torch.tensor([sample.image.shape[1:]] * sample.batch, device=sample.device)
        with autocast(sample.device, self.setting.precision):
            return self.model.detect(self.images(sample), sizes)

    def optimizer(self) -> torch.optim.Optimizer:
        return optimiser.build(self.model, Sgd(kind="sgd", lr=LR, momentum=0.9, weight_decay=1e-4))

    def loss(self, sample: Scene) -> Tensor:
        each = [sample.boxes.cpu()] * sample.batch, [sample.labels.cpu()] * sample.batch
        targets = Targets.pad(*each).to(sample.device)
        with autocast(sample.device, self.setting.precision):
            losses = self.model.losses(self.images(sample), targets)
            return torch.stack(list(losses.values())).sum()


class Theirs:
    """torchvision's, as its constructors build it with pretrained weights, less the weights."""

    def __init__(self, name: str, setting: Setting, width: int, height: int) -> None:
        trunk = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
        # the image has its size already: resizing is left out, as in ours
        sides = {"min_size": min(width, height), "max_size": max(width, height)}
        self.model: Any
        if name == "faster-rcnn":
            backbone = _resnet_fpn_extractor(
                trunk, 3, returned_layers=[1, 2, 3, 4], extra_blocks=LastLevelMaxPool()
            )
            self.model = FasterRCNN(
                backbone,
                CLASSES + 1,  # with the background
                **sides,
                rpn_post_nms_top_n_train=PROPOSALS,
                box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, sampling_ratio=0),
                _skip_resize=True,
            )
        else:
            inputs = 2048 if name == "retinanet" else 256
            backbone = _resnet_fpn_extractor(
                trunk, 3, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(inputs, 256)
            )
            build = {"fcos": FCOS, "retinanet": RetinaNet}[name]
            self.model = build(backbone, CLASSES, **sides, _skip_resize=True)
        self.setting = setting
        prepare(self.model, setting)

    def images(self, sample: Scene) -> list[Tensor]:
        return [sample.image / 255] * sample.batch

    def infer(self, sample: Scene) -> object:
        with autocast(sample.device, self.setting.precision):
            return self.model(self.images(sample))

    def optimizer(self) -> torch.optim.Optimizer:
        return plain_sgd(self.model)

    def loss(self, sample: Scene) -> Tensor:
        first = 1 if isinstance(self.model, FasterRCNN) else 0  # after the background
        each = {"boxes": sample.boxes, "labels": sample.labels + first}
        targets = [each] * sample.batch
        with autocast(sample.device, self.setting.precision):
            losses = self.model(self.images(sample), targets)
            return torch.stack(list(losses.values())).sum()


def plain_sgd(model: nn.Module) -> torch.optim.Optimizer:
    """As torchvision's reference script makes it."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trained, lr=LR, momentum=0.9, weight_decay=1e-4)


def prepare(model: nn.Module, setting: Setting) -> None:
    """Set the memory format; keep activations finite without trained weights."""
    for name, module in model.named_modules():
        if name.endswith("bn3"):
            nn.init.constant_(module.weight, 0.1)
    model.to(memory_format=memory_format(setting.channels_last))


def inference(one: Ours | Theirs, sample: Scene) -> Callable[[], object]:
    def call() -> object:
        one.model.eval()
        with torch.inference_mode():
            return one.infer(sample)

    return call


def training(one: Ours | Theirs, sample: Scene, same_sgd: bool) -> Callable[[], object]:
    optimizer = plain_sgd(one.model) if same_sgd else one.optimizer()

    def call() -> object:
        one.model.train()
        loss = one.loss(sample)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return call


class Raw(nn.Module):
    """torchvision's detector without its transform and post-processing, for counting."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        maps = list(self.model.backbone(images).values())
        if not isinstance(self.model, FasterRCNN):
            return self.model.head(maps)
        heads = self.model.roi_heads
        pooled = maps[0].new_empty(PROPOSALS, 256, 7, 7)
        return self.model.rpn.head(maps), heads.box_predictor(heads.box_head(pooled))


def multiply_adds(one: Ours | Theirs, width: int, height: int, mode: str) -> float:
    """Of convolutions and fully connected layers, in 1e9: forward, or forward and backward.

    Backward costs a layer twice more, for its input and its weights; the frozen stem and first
    stage have neither. Fully connected layers see every proposal at test, the sampled in training.
    """
    model = one.model if isinstance(one, Ours) else Raw(one.model)
    found = flops.count(model, (width, height), "fvcore").by_operator
    convolutions, connected = found["convolution"], found.get("addmm", 0.0)
    if mode == INFERENCE:
        return convolutions + connected
    trunk = one.model.backbone if isinstance(one, Ours) else one.model.backbone.body
    frozen = nn.Sequential(trunk.conv1, trunk.maxpool, trunk.layer1)
    below = flops.count(frozen, (width, height), "fvcore").by_operator["convolution"]
    return 3 * (convolutions + connected * SAMPLED / PROPOSALS) - 2 * below


def matrix_product(setting: Setting, device: torch.device) -> tuple[Callable[[], object], float]:
    """A product of square matrices, and its multiply-adds in 1e9."""
    side = 2048 if setting.precision == "fp32" else 4096
    side = GPU_SIDE if device.type == "cuda" else side
    dtype = torch.float32 if setting.precision == "fp32" else torch.bfloat16
    a, b = (torch.rand(side, side, dtype=dtype, device=device) for _ in range(2))
    return (lambda: torch.mm(a, b)), side**3 / 1e9


def compile_parts(model: nn.Module) -> None:
    """What ``training.compile`` compiles; torchvision's dense detectors have towers in ``head``."""
    for part in (*compiling.parts(model), *filter(None, [getattr(model, "head", None)])):
        part.compile()


@dataclass(frozen=True)
class Plan:
    """What to compare, and how."""

    name: str
    width: int
    height: int
    batch: int
    device: torch.device
    mode: str
    rounds: int
    same_sgd: bool
    clock: Callable[[], float] | None
    settings: tuple[Setting, ...] = SETTINGS

    def timed(self, one: Ours | Theirs, sample: Scene) -> Callable[[], object]:
        if self.mode == INFERENCE:
            return inference(one, sample)
        return training(one, sample, self.same_sgd)


def compare(plan: Plan) -> list[dict[str, Any]]:
    """Time every variant of one detector at one size; one record each."""
    sample = scene(plan.width, plan.height, plan.batch, plan.device)
    calls: dict[str, Callable[[], object]] = {}
    work: dict[str, float] = {}
    for setting in plan.settings:
        calls[setting.precision], work[setting.precision] = matrix_product(setting, plan.device)
        theirs = Theirs(plan.name, setting, plan.width, plan.height)
        for who, one in (("torchvision", theirs), ("detbench", Ours(plan.name, setting))):
            key = f"{who} {setting.name}"
            work[key] = plan.batch * multiply_adds(one, plan.width, plan.height, plan.mode)
            one.model.to(plan.device)
            if setting.compiled:
                compile_parts(one.model)
            calls[key] = plan.timed(one, sample)
    found = interleaved(calls, plan.device, WARMUP, plan.rounds, plan.clock)
    rates = {key: work[key] / timing.median_ms * 1e3 for key, timing in found.items()}
    return [
        {
            "detector": plan.name,
            "input": f"{plan.width}x{plan.height}",
            "batch": plan.batch,
            "mode": plan.mode,
            "setting": setting.name,
            "who": who,
            **found[key].summary(),
            "gmac": work[key],
            "gmac_per_s": rates[key],
            "matrix_product_gmac_per_s": rates[setting.precision],
            "share_of_matrix_product": rates[key] / rates[setting.precision],
            "speedup_over_torchvision": speedup(found, setting.name, key),
            "speedup_over_torchvision_fp32": speedup(found, "fp32", key),
        }
        for setting in plan.settings
        for who in ("torchvision", "detbench")
        for key in (f"{who} {setting.name}",)
    ]


def speedup(found: dict[str, Timing], setting: str, key: str) -> float:
    """Median over the rounds of torchvision's time by this one's."""
    theirs, this = found[f"torchvision {setting}"], found[key]
    pairs = zip(theirs.samples_ms, this.samples_ms, strict=True)
    return median(one / other for one, other in pairs)


def markdown(records: list[dict[str, Any]]) -> str:
    """One line per detector, size, mode and setting; ours beside torchvision's."""
    lines = [
        "| detector | input | mode | setting | torchvision ms | detbench ms "
        "| torchvision / detbench | torchvision fp32 / detbench "
        "| torchvision's share of matrix product | detbench's |",
        "|:--|:--|:--|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for theirs, ours in zip(records[::2], records[1::2], strict=True):
        first = " | ".join(str(ours[key]) for key in ("detector", "input", "mode", "setting"))
        lines.append(
            f"| {first} | {theirs['median_ms']:.1f} | {ours['median_ms']:.1f} "
            f"| {ours['speedup_over_torchvision']:.2f} "
            f"| {ours['speedup_over_torchvision_fp32']:.2f} "
            f"| {theirs['share_of_matrix_product']:.0%} | {ours['share_of_matrix_product']:.0%} |"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__ or "", "of every variant", batch=1)
    parser.add_argument("--detectors", nargs="+", default=["fcos", "retinanet", "faster-rcnn"])
    parser.add_argument("--sizes", nargs="+", default=["1280x800", "256x256"], metavar="WxH")
    parser.add_argument("--modes", nargs="+", default=[INFERENCE, TRAINING])
    parser.add_argument("--compile", action="store_true", help="both by torch.compile too")
    parser.add_argument("--same-sgd", action="store_true", help="plain SGD for both")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    device, clock = options.start(asked)
    records = []
    for size, name, mode in itertools.product(asked.sizes, asked.detectors, asked.modes):
        print(f"{name} {size} {mode} ...", file=sys.stderr, flush=True)
        width, height = map(int, size.split("x"))
        rest = (asked.batch, device, mode, asked.rounds, asked.same_sgd, clock)
        plan = Plan(name, width, height, *rest, (*SETTINGS, *([COMPILED] * asked.compile)))
        records += compare(plan)
    print(markdown(records))
    options.write(asked, "speed", {"same_sgd": asked.same_sgd, "records": records})


if __name__ == "__main__":
    main()
