"""A training that goes on longer than it was planned to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from standin import fit, training

from detbench.errors import WeightsError
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.runner import compute
from detbench.runner.job import TrainJob
from detbench.training import checkpoint, curve, extension, loop, weights

CONSTANT = {"kind": "steps", "drops": (100,), "warmup_iterations": 4}
ABSOLUTE = {"kind": "steps", "drops": (6, 15), "warmup_iterations": 4}
SCHEDULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "constant": (CONSTANT, CONSTANT),
    "steps where they were": (ABSOLUTE, ABSOLUTE),
    "a later step": ({**ABSOLUTE, "drops": (6,)}, ABSOLUTE),
    "a period of its own": ({"kind": "cosine", "period": 5}, {"kind": "cosine", "period": 5}),
}
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "moved steps": (ABSOLUTE, {**ABSOLUTE, "drops": (9, 15)}),
    "one cycle": ({"kind": "one-cycle"}, {"kind": "one-cycle"}),
    "a cosine over all": ({"kind": "cosine"}, {"kind": "cosine"}),
}
AVERAGED = {"average": {"kind": "ema", "decay": 0.7}}


class Stop(BaseException):
    """What a runner raises to stop a cell."""


@pytest.fixture(autouse=True)
def _look_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)


def scorer(scores: dict[int, float]) -> Any:
    def score(detector: Any, report: Any) -> dict[str, float]:
        return {"AP": scores[int(detector.backbone[1].num_batches_tracked)]}

    return score


def at(length: int, plan: dict[str, Any], **more: Any) -> tuple[Any, tuple[str, str]]:
    """Settings of so many iterations, and the identity that they have."""
    return training(iterations=length, schedule=plan, **more), (f"{length} {plan} {more}", "kin")


def run(work: Path, length: int, plan: dict[str, Any], report: Any = None, **more: Any) -> Any:
    looks = more.pop("scorer", None)
    settings, identity = at(length, plan, **more)
    return fit(work, settings, report or (lambda _: None), scorer=looks, identity=identity)


def same(first: Path, second: Path) -> bool:
    """Whether two trainings ended with the same curve and the same bits, whoever they are."""
    ends = [checkpoint.load(work / loop.CHECKPOINT) for work in (first, second)]
    plain = [str({**end, "checkpoint": None}) for end in ends]
    curves = [(work / loop.CURVE).read_text() for work in (first, second)]
    tensors = [list(checkpoint.tensors(end)) for end in ends]
    return (
        plain[0] == plain[1]
        and curves[0] == curves[1]
        and len(tensors[0]) == len(tensors[1])
        and all(torch.equal(one, other) for one, other in zip(*tensors, strict=True))
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("stop", [0, 7])
@pytest.mark.parametrize("more", [{}, AVERAGED], ids=["last", "averaged"])
def test_under_the_same_rates_it_is_the_longer_one(
    tmp_path: Path, name: str, stop: int, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """From a finished training, and from one that was stopped."""
    caplog.set_level("INFO", "detbench")
    short, long = SCHEDULES[name]

    def report(progress: Any) -> None:
        if progress.iteration == stop:
            raise Stop

    if stop:
        with pytest.raises(Stop):
            run(tmp_path / "grown", 12, short, report, **more)
    else:
        run(tmp_path / "grown", 12, short, **more)
    run(tmp_path / "grown", 20, long, **more)
    run(tmp_path / "whole", 20, long, **more)
    assert same(tmp_path / "grown", tmp_path / "whole")
    [said] = [one.getMessage() for one in caplog.records if one.name.endswith("extension")]
    assert said.startswith(f"it goes on from iteration {stop or 12} to 20, where it will be, bit")
    run(tmp_path / "grown", 20, long, **more)  # and it is known by its own settings


@pytest.mark.parametrize("name", OTHERS)
def test_under_other_rates_it_is_a_training_of_its_own(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    short, long = OTHERS[name]
    run(tmp_path / "grown", 12, short)

    def report(progress: Any) -> None:
        if progress.iteration == 15:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "grown", 20, long, report)
    said = [one.getMessage() for one in caplog.records if one.name.endswith("extension")]
    assert said[0].startswith("it goes on from iteration 12 to 20: its learning rate at iteration ")
    assert said[1].startswith("extended after iteration 12 from a shorter training")
    run(tmp_path / "grown", 20, long)  # resumes, and remembers
    run(tmp_path / "whole", 20, long)
    assert not same(tmp_path / "grown", tmp_path / "whole")
    end = checkpoint.load(tmp_path / "grown" / loop.CHECKPOINT)
    assert (end["iteration"], extension.of(end)) == (20, (12,))
    rates = [line["lr"] for line in curve.read(tmp_path / "grown" / loop.CURVE)]
    whole = [line["lr"] for line in curve.read(tmp_path / "whole" / loop.CURVE)]
    assert len(rates) == 20
    assert rates[12:] == whole[12:]
    assert rates[:12] != whole[:12]

    run(tmp_path / "grown", 25, long)  # again: what it is does not come back
    assert 12 in extension.of(checkpoint.load(tmp_path / "grown" / loop.CHECKPOINT))


def test_before_the_rates_part_a_stopped_one_still_is_the_longer_one(tmp_path: Path) -> None:
    def report(progress: Any) -> None:
        if progress.iteration == 5:
            raise Stop

    short, long = OTHERS["moved steps"]
    with pytest.raises(Stop):
        run(tmp_path / "grown", 12, short, report)
    run(tmp_path / "grown", 20, long)
    run(tmp_path / "whole", 20, long)
    assert same(tmp_path / "grown", tmp_path / "whole")


def looks(keep: str) -> dict[str, Any]:
    return {"validation": {"every": 5, "unit": "iterations", "keep": keep}}


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_look_at_the_shorter_ones_end_is_none_of_the_longer_one(
    tmp_path: Path, keep: str
) -> None:
    scores = {5: 0.3, 10: 0.5, 12: 0.4, 15: 0.2, 20: 0.1}
    more = {**looks(keep), "scorer": scorer(scores)}
    run(tmp_path / "grown", 12, CONSTANT, **more)
    run(tmp_path / "grown", 20, CONSTANT, **more)
    run(tmp_path / "whole", 20, CONSTANT, **more)
    assert same(tmp_path / "grown", tmp_path / "whole")
    found = [line["iteration"] for line in curve.looks(tmp_path / "grown" / loop.CURVE)]
    assert found == [5, 10, 15, 20]


def test_the_best_at_the_shorter_ones_end_makes_it_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scores = {5: 0.3, 10: 0.4, 12: 0.5, 15: 0.2, 20: 0.1}
    more = {**looks("best"), "scorer": scorer(scores)}
    run(tmp_path, 12, CONSTANT, **more)
    run(tmp_path, 20, CONSTANT, **more)
    assert extension.of(checkpoint.load(tmp_path / loop.CHECKPOINT)) == (12,)
    said = [one.getMessage() for one in caplog.records if one.name.endswith("extension")]
    assert "its best weights are those of iteration 12, its end" in said[0]


@pytest.mark.parametrize(
    ("length", "plan", "said"),
    [
        (8, CONSTANT, "12 iterations are done, and 8 asked for: ask for more"),
        (12, ABSOLUTE, "12 iterations are done, under another schedule, and 12 asked for"),
    ],
)
def test_what_cannot_go_on_is_one_line(
    tmp_path: Path, length: int, plan: dict[str, Any], said: str
) -> None:
    run(tmp_path, 12, CONSTANT)
    with pytest.raises(WeightsError, match=said) as caught:
        run(tmp_path, length, plan)
    assert "\n" not in str(caught.value)


def test_other_settings_and_older_checkpoints_are_refused(tmp_path: Path) -> None:
    run(tmp_path, 12, CONSTANT)
    settings, (identity, _) = at(20, CONSTANT)
    for kin in ("", "other kin"):
        with pytest.raises(WeightsError, match="belongs to a run with other settings"):
            fit(tmp_path, settings, identity=(identity, kin))
    path = tmp_path / loop.CHECKPOINT
    content = checkpoint.load(path)
    checkpoint.save(path, {**content, "training": {"length": 3}})
    with pytest.raises(WeightsError, match="its settings are of another detbench"):
        run(tmp_path, 20, CONSTANT)
    old = {name: one for name, one in content.items() if name not in ("kin", "training")}
    checkpoint.save(path, old)
    with pytest.raises(WeightsError, match="belongs to a run with other settings"):
        run(tmp_path, 20, CONSTANT)


SMALL = (
    "data.size=64",
    "data.train=8",
    "data.val=4",
    "training.batch=2",
    "training.weights=none",
    "training.input.short=64",
    "training.input.long=64",
)


def test_it_never_enters_the_store(tmp_path: Path) -> None:
    """Neither its weights nor its checkpoint, wherever they come from."""
    cell = resolve.cell("fcos-r50", "smoke", 0, (*SMALL, "training.iterations=3")).cell
    assert cell is not None
    job = TrainJob(
        digest=digest(cell), label="x", cell=cell, store=str(tmp_path), data_root=str(tmp_path)
    )
    work = tmp_path / "work"
    rows, _ = compute.train_eval(job, work, lambda event: None)
    assert rows[0].provenance["trained"]
    content = checkpoint.load(work / "weights.pt")
    checkpoint.save(work / "weights.pt", {**content, "extended": [2]})
    with pytest.raises(WeightsError, match="extended after iteration 2 from a shorter training"):
        compute.train_eval(job, work, lambda event: None)
    (work / "weights.pt").unlink()
    end = checkpoint.load(work / loop.CHECKPOINT)
    checkpoint.save(work / loop.CHECKPOINT, {**end, "extended": [2]})
    with pytest.raises(WeightsError, match=r"checkpoint.pt: extended after iteration 2"):
        compute.train_eval(job, work, lambda event: None)


def test_weights_say_that_they_are_of_one(tmp_path: Path) -> None:
    weights.save(tmp_path / "a.pt", torch.nn.Linear(1, 1), (12,))
    weights.save(tmp_path / "b.pt", torch.nn.Linear(1, 1))
    found = [extension.of(checkpoint.load(tmp_path / name)) for name in ("a.pt", "b.pt")]
    assert found == [(12,), ()]
