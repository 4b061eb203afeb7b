"""How long a detector takes per batch: pre-processing, model and post-processing apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from detbench.data.transforms import normalise
from detbench.errors import DeviceError, RecipeError
from detbench.measure import conditions, machine
from detbench.measure.flops import LARGEST_SIDE
from detbench.measure.timing import Timing, now_ms
from detbench.recipe.model import Pixels
from detbench.training.precision import autocast, memory_format

NO_NMS = 1.0  # an IoU that nothing exceeds


class Detector(Protocol):
    """What is measured: ``forward`` and ``postprocess`` apart, and settings between them."""

    inference: Any

    def __call__(self, images: Tensor) -> Any: ...

    def postprocess(self, predictions: Any, sizes: Tensor) -> Any: ...


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        input: (width, height) of the network's input in pixels.
        batch: images at once.
        iterations: passes that count, one or more.
        warmup: passes before them.
        precision: ``fp32``, or autocast to ``bf16`` or ``fp16``.
        channels_last: memory format of images and weights.
        pairs: place the score threshold so that about this many (candidate, class) pairs pass it
            per image. A detector without trained weights scores nothing above its own threshold,
            and its post-processing would have nothing to do. None keeps the recipe's threshold.
    """

    input: tuple[int, int] = (1280, 800)
    batch: int = 1
    iterations: int = 20
    warmup: int = 5
    precision: str = "fp32"
    channels_last: bool = True
    pairs: int | None = None


@dataclass(frozen=True)
class Latency:
    """What was measured.

    Attributes:
        steps: ``preprocess``, ``model``, and for each way of post-processing asked for
            ``postprocess`` / ``total`` (with NMS), ``postprocess_no_nms`` / ``total_no_nms``.
            A total is the sum within one pass. A two-stage detector's proposals, their NMS
            included, are part of its model.
        settings: as asked for.
        machine: device, versions, threads.
        before, after: what the device said then, see ``conditions.now``.
    """

    steps: dict[str, Timing]
    settings: Settings
    machine: dict[str, str | int]
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Everything, raw samples included, as plain values."""
        settings = asdict(self.settings)
        settings["input"] = _size(self.settings.input)
        steps = {name: timing.summary() for name, timing in self.steps.items()}
        return {
            "settings": settings,
            "machine": self.machine,
            "before": self.before,
            "after": self.after,
            "steps": steps,
        }


def measure(
    detector: Detector,
    pixels: Pixels,
    settings: Settings,
    device: torch.device,
    nms: tuple[bool, ...] = (True, False),
) -> Latency:
    """Time ``detector`` on synthetic photographs of half the input's size.

    Every pass runs all steps one after the other, the clock being read only when the device is
    idle. Reading and decoding an image file is not part of it.

    Args:
        detector: moved to ``device`` and put in eval mode.
        pixels: how images become the network's input.
        settings: how to measure.
        device: where.
        nms: ways of post-processing: with NMS, without, or both.

    Raises:
        RecipeError: the input is absurdly large.
        DeviceError: memory ran out.
    """
    if max(settings.input) > LARGEST_SIDE:
        raise RecipeError(
            f"input {_size(settings.input)} is too large: sides of up to {LARGEST_SIDE} pixels"
        )
    usual, before = detector.inference, conditions.now(device)
    try:
        samples = _sample(_prepare(detector, pixels, settings, device), settings, nms)
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        raise DeviceError(
            f"out of memory on {device} with {settings.batch} x {_size(settings.input)}: "
            "try a smaller --batch or --input"
        ) from error
    finally:
        detector.inference = usual
    steps = {name: Timing(tuple(found)) for name, found in samples.items()}
    return Latency(steps, settings, machine.describe(device), before, conditions.now(device))


@dataclass(frozen=True)
class _Pipeline:
    """The steps of one pass, each a call on the result of the one before."""

    device: torch.device
    preprocess: Callable[[], Tensor]
    model: Callable[[Tensor], Any]
    postprocess: Callable[[Any, bool], object]


def _prepare(
    detector: Detector, pixels: Pixels, settings: Settings, device: torch.device
) -> _Pipeline:
    assert isinstance(detector, nn.Module)
    layout = memory_format(settings.channels_last)
    detector.to(device=device, memory_format=layout).eval()  # type: ignore[call-overload]
    width, height = settings.input
    images = _photographs(settings.batch, (width + 1) // 2, (height + 1) // 2)
    sizes = torch.tensor([[height, width]] * settings.batch)

    def start() -> Tensor:
        resized = [
            F.resize(image, [height, width], InterpolationMode.BILINEAR, antialias=False)
            for image in images
        ]
        return normalise(resized, pixels, 1, device).contiguous(memory_format=layout)

    def model(batch: Tensor) -> Any:
        with autocast(device, settings.precision):
            return detector(batch)

    with torch.inference_mode():
        usual = detector.inference
        if settings.pairs is not None:
            threshold = _threshold(model(start()), settings.pairs * settings.batch)
            usual = replace(usual, score_threshold=threshold)

    def finish(predictions: Any, suppress: bool) -> object:
        detector.inference = usual if suppress else _without_nms(usual)
        return detector.postprocess(predictions, sizes)

    return _Pipeline(device, start, model, finish)


def _without_nms(inference: Any) -> Any:
    """Settings whose NMS drops nothing; soft NMS, where there is such a setting, is off too."""
    changes: dict[str, Any] = {"nms": NO_NMS}
    if hasattr(inference, "soft"):
        changes["soft"] = None
    return replace(inference, **changes)


def _threshold(predictions: Any, pairs: int) -> float:
    """The score that about ``pairs`` of all pairs are above."""
    if hasattr(predictions, "scores"):  # of an RoI detector
        scores = predictions.scores.flatten().float()
    else:
        scores = torch.cat([level.flatten() for level in predictions.cls]).float().sigmoid()
    return scores.topk(min(pairs, len(scores))).values[-1].item()


def _sample(
    pipeline: _Pipeline, settings: Settings, nms: tuple[bool, ...]
) -> dict[str, list[float]]:
    """Milliseconds of every step in every pass that counts."""
    device = pipeline.device
    samples: dict[str, list[float]] = {}
    for index in range(settings.warmup + settings.iterations):
        with torch.inference_mode():
            start = now_ms(device)
            batch = pipeline.preprocess()
            ready = now_ms(device)
            predictions = pipeline.model(batch)
            predicted = now_ms(device)
            taken = {"preprocess": ready - start, "model": predicted - ready}
            for suppress in nms:
                begin = now_ms(device)
                pipeline.postprocess(predictions, suppress)
                spent = now_ms(device) - begin
                suffix = "" if suppress else "_no_nms"
                taken[f"postprocess{suffix}"] = spent
                taken[f"total{suffix}"] = predicted - start + spent
        if index >= settings.warmup:
            for name, value in taken.items():
                samples.setdefault(name, []).append(value)
    return samples


def _photographs(count: int, width: int, height: int) -> list[Tensor]:
    """Smooth random images, the same every time: uint8, (3, height, width)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return list((smooth * 255).to(torch.uint8))


def _size(input: tuple[int, int]) -> str:
    return "{}x{}".format(*input)


def _out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a type for it, the CPU only a sentence."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
