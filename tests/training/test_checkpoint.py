from __future__ import annotations

import os
import random
import resource
import signal
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from detbench.errors import StoreError, WeightsError
from detbench.training import checkpoint, seeding


class Thing:
    """Not a plain type."""


class HistoryBuffer:
    """As MMEngine's: its checkpoints of a run keep the log, whose state holds methods too."""

    def __init__(self) -> None:
        self.values = np.zeros(3)
        self.last = np.float64(2)
        self.methods = {"mean": HistoryBuffer.mean}

    @staticmethod
    def mean() -> None: ...


def test_round_trip_of_tensors_and_plain_types(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.pt"
    content = {
        "tensors": OrderedDict(a=torch.arange(3), b=torch.tensor(1.5, dtype=torch.bfloat16)),
        "plain": (1, 2.5, "x", None, True, [1, (2, 3)]),
    }
    checkpoint.save(path, content)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded["tensors"]["a"], content["tensors"]["a"])  # type: ignore[call-overload]
    assert loaded["tensors"]["b"] == 1.5
    assert loaded["plain"] == content["plain"]
    assert [entry.name for entry in path.parent.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"x": torch.zeros(1000)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match="truncated, or not a file of weights") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        checkpoint.load(tmp_path)
    (tmp_path / "text.pth").write_text("hello, no weights here\n" * 100)
    with pytest.raises(WeightsError, match="not a file of weights"):
        checkpoint.load(tmp_path / "text.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"1234567890" * 5)
    with pytest.raises(WeightsError, match="not a file of weights"):
        checkpoint.read(tmp_path / "bad.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="not a detbench checkpoint"):
        checkpoint.load(tmp_path / "other.pt")


def test_objects_are_not_loaded(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "meta": Thing()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds Python objects") as caught:
        checkpoint.read(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


def test_another_version(tmp_path: Path) -> None:
    torch.save({"format": checkpoint.FORMAT, "version": 99}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="version 99"):
        checkpoint.load(tmp_path / "a.pt")


def test_no_space_left_is_one_line_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"x": 1})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(StoreError, match="no space left while writing") as caught:
            checkpoint.save(path, {"x": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(caught.value)
    assert checkpoint.load(path)["x"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pt"]


def draw() -> list[float]:
    rng = np.random
    return [random.gauss(0, 1), float(rng.standard_normal()), float(torch.randn(()))]


def test_random_states_survive_a_file(tmp_path: Path) -> None:
    """Taken in the middle of a pair of Gaussian draws, where python and numpy keep the second."""
    seeding.seed_everything(5)
    draw()
    checkpoint.save(tmp_path / "a.pt", {"random": seeding.states()})
    first = [draw() for _ in range(3)]
    seeding.seed_everything(6)
    seeding.restore(checkpoint.load(tmp_path / "a.pt")["random"])
    assert [draw() for _ in range(3)] == first


def test_seeds_and_streams_differ_and_repeat() -> None:
    seen = {}
    for seed in (0, 1):
        for stream in (0, 1):
            seeding.seed_everything(seed, stream)
            first = draw()
            seeding.seed_everything(seed, stream)
            assert draw() == first
            seen[seed, stream] = first[2]
    assert len(set(seen.values())) == 4


def test_a_checkpoint_is_synced_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), replace(a, b))[1])
    checkpoint.save(tmp_path / "a.pt", {})
    assert order == ["sync", "rename", "sync"]


def test_mmengines_own_checkpoints_are_read_and_their_logs_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mmengine.logging.history_buffer"
    parts = name.split(".")
    modules = {".".join(parts[: n + 1]): ModuleType(parts[n]) for n in range(3)}
    with monkeypatch.context() as there:
        for full, module in modules.items():
            there.setitem(sys.modules, full, module)
        there.setattr(modules[name], "HistoryBuffer", HistoryBuffer, raising=False)
        there.setattr(HistoryBuffer, "__module__", name)
        log = {"scalars": {"loss": HistoryBuffer()}, "runtime": {"iter": np.int64(7)}}
        content = {"state_dict": {"a": torch.ones(2)}, "message_hub": log}
        torch.save(content, tmp_path / "epoch_12.pth")
        torch.save(content | {"more": Thing()}, tmp_path / "more.pth")
    read = checkpoint.read(tmp_path / "epoch_12.pth")
    assert torch.equal(read["state_dict"]["a"], torch.ones(2))
    assert not isinstance(read["message_hub"]["scalars"]["loss"], HistoryBuffer)
    with pytest.raises(WeightsError, match="holds Python objects"):
        checkpoint.read(tmp_path / "more.pth")
