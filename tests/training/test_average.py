"""The moving average of a training's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from standin import Loader, Tiny, fit, training
from torch import nn

from detbench.errors import RecipeError
from detbench.evaluation.run import score
from detbench.recipe import digest, resolve
from detbench.recipe.experiment import Ema
from detbench.training import checkpoint, loop, seeding, weights
from detbench.training.average import Average, decay
from detbench.training.host import Host

EMA = {"kind": "ema", "decay": 0.7}
SMALL = (
    "data.train=8",
    "data.val=3",
    "data.size=64",
    "training.iterations=4",
    "training.batch=4",
    "training.input.short=64",
    "training.input.long=64",
)


def test_decay_warms_up() -> None:
    assert decay(0.9, 1) == 2 / 11
    assert decay(0.9, 8) == 9 / 18
    assert decay(0.9, 10_000) == 0.9
    assert decay(0.1, 1) == 0.1


def test_the_average_is_the_equations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept by hand in double precision, for weights, running statistics and what a loss counts."""
    seen: list[dict[str, Any]] = []
    update = Average.update

    def watched(self: Average, iteration: int) -> None:
        state = self._detector.state_dict().items()
        seen.append({name: value.double() for name, value in state})
        update(self, iteration)

    plain = fit(tmp_path / "plain", training())
    monkeypatch.setattr(Average, "update", watched)
    averaged = fit(tmp_path / "averaged", training(average=EMA))
    seeding.seed_everything(3)
    expected = {name: value.double() for name, value in Tiny().state_dict().items()}
    for t, state in enumerate(seen, 1):
        keep = min(0.7, (1 + t) / (10 + t))
        expected = {name: keep * expected[name] + (1 - keep) * state[name] for name in state}
    assert len(seen) == 12
    found, last = averaged.state_dict(), plain.state_dict()
    for name, value in found.items():
        if value.is_floating_point():
            assert value.double() == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name
    moved = ("out.weight", "norm.bias", "backbone.1.running_mean", "backbone.1.running_var", "seen")
    assert all(not torch.equal(found[name], last[name]) for name in moved)
    assert torch.equal(found["backbone.0.weight"], last["backbone.0.weight"])  # frozen
    assert int(found["backbone.1.num_batches_tracked"]) == 12


def test_training_does_not_see_the_average(tmp_path: Path) -> None:
    fit(tmp_path / "plain", training())
    fit(tmp_path / "averaged", training(average=EMA))
    curves = [(tmp_path / run / loop.CURVE).read_text() for run in ("plain", "averaged")]
    assert curves[0] == curves[1]
    plain, averaged = (
        checkpoint.load(tmp_path / run / loop.CHECKPOINT) for run in ("plain", "averaged")
    )
    assert all(
        torch.equal(plain["detector"][name], now) for name, now in averaged["current"].items()
    )
    assert not torch.equal(plain["detector"]["out.weight"], averaged["detector"]["out.weight"])


def test_a_finished_run_gives_the_average_again(tmp_path: Path) -> None:
    first = fit(tmp_path, training(average=EMA))
    loader = Loader()
    again = fit(tmp_path, training(average=EMA), loader=loader)
    assert loader.served == []
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_buffer_that_is_replaced_is_still_averaged() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

    counter = Counter()
    average = Average(counter, Ema(kind="ema", decay=0.5))
    counter.count = torch.ones(1)
    average.update(1)
    average.put()
    assert float(counter.count) == pytest.approx(9 / 11)


def test_a_real_detector_is_evaluated_with_its_average(tmp_path: Path) -> None:
    """Detections follow the weights that ``weights.pt`` has: those of the average."""
    host = Host(tmp_path, torch.device("cpu"), lambda _: None)
    found = {}
    for name, extra in {"last": (), "averaged": (f"training.average={toml(EMA)}",)}.items():
        cell = resolve.cell("fcos-r50", "smoke", 0, (*SMALL, *extra)).cell
        assert cell is not None
        detector = loop.train(cell, tmp_path / name, host)
        weights.save(tmp_path / f"{name}.pt", detector)
        found[name] = score(detector, cell, host).detections
        kept = weights.read(tmp_path / f"{name}.pt").state
        saved = weights.read(tmp_path / name / loop.CHECKPOINT).state
        assert all(torch.equal(value, saved[key]) for key, value in kept.items())
    assert found["last"] != found["averaged"]


def toml(table: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key} = {value!r}" for key, value in table.items()) + "}"


def test_cells_without_an_average_keep_their_digest() -> None:
    plain = resolve.cell("fcos-r50", "smoke", 0, ()).cell
    averaged = resolve.cell("fcos-r50", "smoke", 0, (f"training.average={toml(EMA)}",)).cell
    assert plain is not None
    assert averaged is not None
    assert "average" not in digest.canonical(plain)
    assert digest.digest(plain) != digest.digest(averaged)


@pytest.mark.parametrize("wrong", ["0.0", "1.0", "-1", "2"])
def test_a_decay_that_is_none_is_one_line(wrong: str) -> None:
    with pytest.raises(RecipeError, match="decay"):
        resolve.cell("fcos-r50", "smoke", 0, (f"training.average={{kind='ema', decay={wrong}}}",))
