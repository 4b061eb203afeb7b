"""Files of the store and of a training, damaged anywhere: noticed, and nothing else is lost."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from malformed import budget, changed, damaged, judge, junk

from detbench.report import differences
from detbench.results import detections, merge, prune, schema, verify
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.statistics.replicates import Replicates
from detbench.training import checkpoint, curve, weights

GOOD, BAD = "a" * 64, "b" * 64


FOUND = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]


def _rows(digest: str) -> list[Measurement]:
    row = Measurement(
        digest, "train-eval", "AP", 0.25, "fraction", {"images": 4}, 0, provenance={"git": None}
    )
    rows = [row, replace(row, metric="APs", value=None, reason="no such object")]
    return detections.bound(rows, detections.packed(FOUND))


PARQUET = schema.to_bytes(_rows(BAD))


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    logging.getLogger("detbench").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("detbench").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files") / "results"
    store = Store(root)
    store.add(_rows(GOOD), FOUND)
    store.add(_rows(BAD), FOUND)
    return root


def _measurements(root: Path, content: bytes) -> None:
    """Damaged rows are missing, never other rows; the other cell is there; it can be redone."""
    path = root / "cells" / f"train-eval-{BAD}.parquet"
    path.write_bytes(content)

    def use() -> None:
        store = Store(root)
        stored = store.get(BAD)
        assert stored is None or list(stored.rows) == _rows(BAD)
        assert store.status(BAD) == ("done" if stored else "missing")

    judge(use, path.name)
    store = Store(root)
    good = store.get(GOOD)
    assert good is not None
    assert list(good.rows) == _rows(GOOD)
    assert set(store.listing()) == {GOOD, BAD}
    store.add(_rows(BAD))
    assert path.read_bytes() == PARQUET


@budget(100, 1500)
@given(content=damaged(PARQUET))
def test_bytes_of_measurements(root: Path, content: bytes) -> None:
    _measurements(root, content)


@budget(10, 200)
@given(content=st.binary(max_size=64))
@example(b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1")
@example(b"PAR1" * 100)
@example(schema.to_bytes(_rows(GOOD)))
def test_measurement_files_of_any_bytes(root: Path, content: bytes) -> None:
    _measurements(root, content)


@budget(30, 300)
@given(data=st.data())
def test_bytes_of_detections(root: Path, data: st.DataObject) -> None:
    path = root / "cells" / f"train-eval-{BAD}.detections.json.gz"
    whole = root / "cells" / f"train-eval-{GOOD}.detections.json.gz"
    path.write_bytes(data.draw(damaged(whole.read_bytes()) | st.binary(max_size=40)))
    store = Store(root)
    judge(lambda: store.detections(BAD), path.name)
    assert store.detections(GOOD) == FOUND
    assert store.status(BAD) == "done"


CONTENT: dict[str, Any] = {
    "identity": "tiny",
    "iteration": 7,
    "detector": {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)},
    "random": {"python": (3, (1, 2), None)},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "whole.pt"
    checkpoint.save(path, CONTENT)
    return path


def _checkpoint(saved: Path, content: bytes) -> None:
    """Damage that is accepted has changed nothing."""
    path = saved.with_name("damaged.pt")
    path.write_bytes(content)

    def use() -> None:
        found = checkpoint.load(path)
        assert repr(found) == repr(checkpoint.load(saved))

    judge(use, path.name)


@budget(60, 1000)
@given(data=st.data())
def test_bytes_of_checkpoints(saved: Path, data: st.DataObject) -> None:
    _checkpoint(saved, data.draw(damaged(saved.read_bytes())))


@budget(10, 200)
@given(content=st.binary(max_size=64))
def test_checkpoints_of_any_bytes(saved: Path, content: bytes) -> None:
    _checkpoint(saved, content)


tensors = st.builds(torch.zeros, st.lists(st.integers(0, 3), max_size=3).map(tuple))


@budget(40, 500)
@given(content=changed(CONTENT, junk | st.none() | tensors))
def test_weights_with_keys_changed(saved: Path, content: Any) -> None:
    """Files that are whole, but not of what they are taken for."""
    path = saved.with_name("other.pt")
    torch.save(content | {"format": checkpoint.FORMAT, "version": checkpoint.VERSION}, path)
    network = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2)})
    judge(lambda: weights.load_file(network, path, whole=True), path.name)
    torch.save(content, path)
    judge(lambda: weights.read(path), path.name)
    judge(lambda: checkpoint.load(path), path.name)


LINES = [{"iteration": n, "lr": 0.1, "total": 1.5 / n, "cls": 1.0} for n in range(1, 6)]
CURVE = "".join(json.dumps(line) + "\n" for line in LINES).encode()


@budget(60, 600)
@given(content=damaged(CURVE) | st.binary(max_size=40))
@example(b"3\n")
@example(b"{}\n" + CURVE)
@example(b"[" * 100_000)
@example(b'{"iteration": NaN, "total": null}\n')
def test_bytes_of_loss_curves(saved: Path, content: bytes) -> None:
    """A damaged line ends the curve; it never stops a run or a plot."""
    path = saved.with_name("curve.jsonl")
    path.write_bytes(content)

    def use() -> None:
        for line in curve.read(path):
            assert isinstance(line["iteration"], int)
            assert isinstance(line["total"], int | float)
        curve.Curve(path, 3)
        assert all(line["iteration"] <= 3 for line in curve.read(path))

    assert judge(use)


def test_nothing_else_of_a_store_is_touched_by_what_lies_in_it(root: Path) -> None:
    """Foreign files and folders beside the measurements."""
    other = root.with_name("other")
    shutil.copytree(root, other)
    for name in ("notes.txt", "train-eval-xyz.parquet", ".hidden", "a.b.c", f"cost-{BAD}.failed"):
        (other / "cells" / name).write_text("x")
    (other / "cells" / f"cost-{'c' * 64}.parquet").mkdir()
    store = Store(other)
    assert store.status(GOOD) == "done"
    assert not judge(lambda: store.status("c" * 64), f"cost-{'c' * 64}.parquet")


@budget(30, 500)
@given(rows=damaged(PARQUET), found=damaged(gzip.compress(json.dumps(FOUND).encode(), mtime=0)))
def test_commands_about_damaged_stores(root: Path, rows: bytes, found: bytes) -> None:
    """``results verify``, ``merge`` and ``prune``: the damaged cell alone is told of or refused."""
    other = root.with_name("damaged")
    into = root.with_name("into")
    for folder in (other, into):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root, other)
    (other / "cells" / f"train-eval-{BAD}.parquet").write_bytes(rows)
    (other / "cells" / f"train-eval-{BAD}.detections.json.gz").write_bytes(found)

    def use() -> None:
        bad = {one.digest for one in verify.verify(other) if one.status == "bad"}
        assert bad <= {BAD}
        merged = {one.digest: one.action for one in merge.merge(into, other)}
        assert merged[GOOD] == "copied"
        assert merged.get(BAD, "refused") == ("refused" if bad else "copied")
        assert all(BAD in item.path.name for item in prune.plan(other))

    assert judge(use)
    good = Store(into).get(GOOD)
    assert good is not None
    assert list(good.rows) == _rows(GOOD)
    assert Store(into).detections(GOOD) == FOUND


KEY = "k" * 64
SCENE = ("2 ab", "1 cd", "3 ef", [100, 1.0], "3 01")
KEPT = Replicates({"AP": 0.5}, {"AP": np.array([0.1, 0.2, 0.3])}, {"AP": 2}, {"AP": (1, 1)}, SCENE)
AGAIN = Replicates({}, {}, {}, {}, SCENE)


def _kept(found: Replicates) -> str:
    """All that a training's replicates hold, as text."""
    return repr((found, {name: one.tolist() for name, one in found.draws.items()}))


@budget(60, 600)
@given(data=st.data())
def test_bytes_of_kept_differences(root: Path, data: st.DataObject) -> None:
    """Damage is computed again, never believed."""
    store = Store(root)
    shutil.rmtree(store.derived("replicates"), ignore_errors=True)
    differences.CACHE.memory.clear()
    assert differences.CACHE.of(store, KEY, [1], lambda: KEPT) is KEPT
    [path] = store.derived("replicates").iterdir()
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    differences.CACHE.memory.clear()

    def use() -> None:
        found = differences.CACHE.of(store, KEY, [1], lambda: AGAIN)
        assert _kept(found) in (_kept(AGAIN), _kept(KEPT))

    assert judge(use)
