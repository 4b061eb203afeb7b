"""Pickled arrays are read without running code; anything else in a pickle is refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models

from detbench.assembly import build_detector
from detbench.backbones.pretrained import cover
from detbench.errors import WeightsError
from detbench.recipe import load
from detbench.training import pickled, weights


def write(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "c": np.array(3, np.int64),
    "d": np.zeros((0, 2), np.float16),
    "e": np.arange(4, dtype=">f4"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_become_tensors(tmp_path: Path, protocol: int) -> None:
    given = {"model": OrderedDict(ARRAYS), "__author__": "me", "scalar": np.float32(2.5), "n": 3}
    found = pickled.read(write(tmp_path / "a.pkl", given, protocol))
    for name, array in given["model"].items():
        tensor = found["model"][name]
        assert isinstance(tensor, torch.Tensor)
        assert tensor.shape == array.shape
        assert np.array_equal(tensor.numpy(), array)
    assert float(found["scalar"]) == 2.5


class Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], tuple(self.call[1:])


def _objects() -> list[Any]:
    return [
        Evil(os.system, "touch ran"),
        Evil(eval, "open('ran', 'w')"),
        Evil(getattr, Evil, "call"),
        Evil(np.load, "ran"),
        Evil(np.core.multiarray.scalar if hasattr(np, "core") else os.getcwd),
        np.array([Evil(os.system, "touch ran")], dtype=object),
        Evil(bytes.fromhex, "00"),
        torch.zeros(1),
        Path("x"),
        Evil,
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused_in_one_line_and_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("a.pkl"), {"model": {"x": ARRAYS["a"], "y": _objects()[index]}}, protocol)
    with pytest.raises(WeightsError) as caught:
        weights.read(path)
    assert str(caught.value).startswith("a.pkl: ")
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()


def test_the_refusal_names_what_it_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pkl", {"model": Evil(os.system, "touch ran")})
    with pytest.raises(WeightsError, match=r"holds Python objects \(\w+\.system\), which could"):
        weights.read(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"text", b"\x80\x04}.", b"\x80\x04]."])
def test_damaged_and_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(WeightsError, match=r"truncated|holds no tensors by name"):
        weights.read(tmp_path / "a.pkl")


def test_every_cut_of_a_file_is_one_line(tmp_path: Path) -> None:
    whole = pickle.dumps({"model": ARRAYS}, 4)
    for end in range(0, len(whole), 7):
        (tmp_path / "a.pkl").write_bytes(whole[:end])
        with pytest.raises(WeightsError, match=r"truncated"):
            weights.read(tmp_path / "a.pkl")


@pytest.mark.parametrize("form", ["model", "blobs", "plain"])
def test_a_pickled_backbone_reaches_a_detector(tmp_path: Path, form: str) -> None:
    torch.manual_seed(0)
    state = torchvision.models.resnet50().state_dict()
    arrays = {name: x.numpy() for name, x in state.items()}
    arrays["res2_0_branch2a_w_momentum"] = np.zeros(1)
    write(tmp_path / "r50.pkl", arrays if form == "plain" else {form: arrays, "__author__": "x"})
    detector = build_detector(load.detector("retinanet-r50").detector, 3)
    assert weights.load_file(detector, tmp_path / "r50.pkl").whole
    own = detector.state_dict()
    assert all(torch.equal(own[name], state[at]) for name, at in cover(detector).names.items())
