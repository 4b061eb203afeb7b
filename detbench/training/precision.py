"""Precision and memory format of the network, as settings."""

from __future__ import annotations

import contextlib

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Autocast of convolutions to ``bf16`` or ``fp16``; nothing for ``fp32``."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


def loss_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Dynamic loss scaling, which only fp16 needs; otherwise a scaler that does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def memory_format(channels_last: bool) -> torch.memory_format:
    """Of images and weights: channels-last is the faster one for convolutions."""
    return torch.channels_last if channels_last else torch.contiguous_format
