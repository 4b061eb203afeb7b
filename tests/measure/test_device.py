from __future__ import annotations

import pytest
import torch

from detbench.errors import DeviceError
from detbench.measure.device import resolve


@pytest.mark.parametrize("count", [0, 2])
def test_resolves_what_is_there(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert resolve("cpu") == torch.device("cpu")
    assert resolve("auto").type == ("cuda" if count else "cpu")
    for name in ("cuda", "cuda:1"):
        if count:
            assert resolve(name) == torch.device(name)
        else:
            with pytest.raises(DeviceError, match="no usable CUDA device"):
                resolve(name)
    with pytest.raises(DeviceError, match="cuda:5"):
        resolve("cuda:5")


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "auto:0", "cuda:", "", "cuda:-1"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(DeviceError, match="use auto, cpu, cuda or cuda:N"):
        resolve(name)
