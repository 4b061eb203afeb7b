"""Cases of the authors' own code: inputs made by their rule, and tensors given by a summary."""

from __future__ import annotations

import json
import math
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parent / "reference" / "authors"
RELATIVE, ABSOLUTE = 1e-4, 1e-5


def case(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def cases(name: str) -> list[dict]:
    """That of the tests, and one of held-out inputs from ``$DETBENCH_REFERENCE/authors``."""
    extra = Path(os.environ.get("DETBENCH_REFERENCE", "")) / "authors" / f"{name}.json"
    held_out = [json.loads(extra.read_text())] if extra.is_absolute() and extra.exists() else []
    return [case(name), *held_out]


def set_of(case: dict) -> str:
    """The first part of a case's keys, which tells sets of inputs apart."""
    return next(iter(case["generated"])).split("/")[0]


def made(case: dict, key: str) -> torch.Tensor:
    """The input tensor of this key."""
    rule = case["generated"][key]
    random = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    x = random.standard_normal(rule["shape"])
    if rule["form"] == "exp":
        values = rule["bias"] * np.exp(rule["scale"] * x)
    else:
        values = rule["bias"] + rule["scale"] * x
    return torch.tensor(values, dtype=torch.float32)


def close(value: float) -> object:
    return pytest.approx(value, rel=RELATIVE, abs=ABSOLUTE)


def assert_close(ours: torch.Tensor, theirs: list) -> None:
    torch.testing.assert_close(
        ours.detach(), torch.tensor(theirs, dtype=ours.dtype), rtol=RELATIVE, atol=ABSOLUTE
    )


def assert_summary(ours: torch.Tensor, theirs: dict) -> None:
    """Shape, moments and sampled values; of a gradient its sums too."""
    ours = ours.detach()
    flat = ours.flatten()
    if "shape" in theirs:
        assert list(ours.shape) == theirs["shape"]
        assert flat.mean().item() == close(theirs["mean"])
        assert flat.std(unbiased=False).item() == close(theirs["std"])
        assert flat.abs().max().item() == close(theirs["abs_max"])
    if "abs_sum" in theirs:
        assert flat.abs().sum().item() == pytest.approx(theirs["abs_sum"], rel=1e-3)
    if "sum" in theirs:
        least = 1e-3 * theirs.get("abs_sum", 1.0)
        assert math.isclose(flat.sum().item(), theirs["sum"], rel_tol=1e-3, abs_tol=least)
    if "nonzero" in theirs:
        assert int(flat.count_nonzero()) == theirs["nonzero"]
    for index, value in theirs.get("at", {}).items():
        assert flat[int(index)].item() == close(value)
