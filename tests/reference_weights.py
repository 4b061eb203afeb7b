"""Weights and inputs of the reference cases, from their names alone."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from made_masks import with_masks

from detbench.structures import Targets

HERE = Path(__file__).parent / "reference" / "mmdet"


def cases() -> dict[str, dict]:
    """Reference cases by detector id, from the tests and from ``$DETBENCH_REFERENCE``."""
    folders = [HERE]
    if extra := os.environ.get("DETBENCH_REFERENCE"):
        folders.append(Path(extra))
    found = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            case = json.loads(path.read_text())
            if isinstance(case, dict) and "state_dict" in case:
                found[case["detector"]] = case
    return found


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The rule of reference/README: a parameter's values are a function of its name."""
    random = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
    x = random.standard_normal(shape)
    *path, last = name.split(".")
    module = path[-1] if path else ""
    if last == "num_batches_tracked":
        x = np.zeros(shape)
    elif last == "running_var":
        x = 1 + 0.1 * np.abs(x)
    elif last == "running_mean":
        x = 0.1 * x
    elif last == "weight" and len(shape) >= 2:
        x = x / np.sqrt(np.prod(shape[1:])) * (0.1 if "offset" in name else 1.0)
    elif last in ("weight", "scale", "sigma"):
        x = 1 + 0.1 * x
    elif last == "bias" and "cls" in module and "convs" not in name:
        x = -4 + 0.01 * x
    else:
        x = 0.01 * x
    return torch.tensor(x, dtype=torch.float32)


def state_dict(case: dict) -> dict[str, torch.Tensor]:
    return {name: weight(name, tuple(shape)) for name, shape in case["state_dict"].items()}


def inputs(case: dict) -> tuple[torch.Tensor, Targets, torch.Tensor]:
    """Images, targets and sizes of a case."""
    given = case["inputs"]
    shape = (given["batch"], 3, given["height"], given["width"])
    images = np.random.RandomState(given["image_seed"]).standard_normal(shape)
    boxes = [torch.tensor(b, dtype=torch.float32).reshape(-1, 4) for b in given["boxes_xyxy"]]
    targets = Targets.pad(boxes, [torch.tensor(labels) for labels in given["labels"]])
    targets = with_masks(targets, given["height"], given["width"])
    sizes = torch.tensor([[given["height"], given["width"]]] * given["batch"])
    return torch.tensor(images, dtype=torch.float32), targets, sizes
