"""Looks at the val split during a training, and the best weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from standin import Tiny, fit, training
from torch import nn

from detbench.errors import RecipeError
from detbench.evaluation.run import score, scorer
from detbench.progress import Progress
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.digest import training as trained
from detbench.recipe.experiment import Cell
from detbench.report import signature
from detbench.report.conditions import caveats
from detbench.runner import compute
from detbench.runner.job import TrainJob
from detbench.training import checkpoint, compiling, curve, loop, weights
from detbench.training.host import Host

CPU = torch.device("cpu")
EMA = {"average": {"kind": "ema", "decay": 0.7}}
SCORES = {3: 0.2, 6: 0.9, 9: 0.9, 12: 0.1}
SMALL = (
    "data.train=8",
    "data.val=4",
    "data.size=64",
    "training.iterations=6",
    "training.batch=4",
    "training.weights=none",
    "training.input.short=64",
    "training.input.long=64",
    "inference.score_threshold=0.0",
)
EACH_TWO = "{every = 2, unit = 'iterations', keep = '%s'}"


class Stop(BaseException):
    """What a runner raises to stop a cell."""


class Scorer:
    """Scores by the iteration, and remembers the weights that it saw; it draws, as loaders do."""

    def __init__(self, every: int = 3, stop: int = 0, scores: dict[int, float] = SCORES) -> None:
        self.every, self.stop, self.scores = every, stop, scores
        self.seen: dict[int, dict[str, torch.Tensor]] = {}

    def __call__(self, detector: nn.Module, report: Any) -> dict[str, float | None]:
        assert detector.training
        detector.eval()
        torch.rand(5)
        place = int(detector.backbone[1].num_batches_tracked)  # type: ignore[index, union-attr]
        report(Progress("eval", place, 12))
        self.seen[place] = {name: one.clone() for name, one in detector.state_dict().items()}
        return {"AP": self.scores[place], "APl": None}


def settings(keep: str, **more: Any) -> Any:
    return training(validation={"every": 3, "unit": "iterations", "keep": keep}, **more)


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(one, second[name]) for name, one in first.items()
    )


@pytest.fixture(autouse=True)
def _look_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)


@pytest.mark.parametrize("more", [{}, EMA], ids=["last", "averaged"])
def test_looking_changes_nothing_and_the_first_best_is_kept(
    tmp_path: Path, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "detbench")
    plain = fit(tmp_path / "plain", training(**more))
    looks = Scorer()
    last = fit(tmp_path / "last", settings("last", **more), scorer=looks)
    best = fit(tmp_path / "best", settings("best", **more), scorer=Scorer())
    assert sorted(looks.seen) == [3, 6, 9, 12]
    assert equal(plain.state_dict(), last.state_dict())
    assert equal(looks.seen[12], last.state_dict())
    assert equal(looks.seen[6], best.state_dict())
    assert not equal(looks.seen[6], looks.seen[9])

    whole, kept = (checkpoint.load(tmp_path / name / loop.CHECKPOINT) for name in ("plain", "best"))
    assert all(equal(whole[part], kept[part]) for part in ("detector", "current"))
    assert equal(kept["validations"]["best"]["detector"], looks.seen[6])
    lines = list(curve.looks(tmp_path / "best" / loop.CURVE))
    assert [line["iteration"] for line in lines] == [3, 6, 9, 12]
    assert lines[1]["validation"] == {"AP": 0.9, "APl": None}
    losses = [list(curve.read(tmp_path / name / loop.CURVE)) for name in ("plain", "best")]
    assert losses[0] == losses[1]
    assert curve.best(tmp_path / "best" / loop.CURVE, "AP") == lines[1]
    said = [one.getMessage() for one in caplog.records if one.name.endswith("validation")]
    assert said[1] == "validation after iteration 6 of 12: AP 90.00, the best so far"
    assert said[2] == "validation after iteration 9 of 12: AP 90.00, best after iteration 6"


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("where", ["train", "validate"])
@pytest.mark.parametrize("stops", [(1,), (3,), (6, 9), (7, 12), (12,)])
def test_a_stopped_one_ends_with_the_same_bits(
    tmp_path: Path, keep: str, where: str, stops: tuple[int, ...]
) -> None:
    left = list(stops)

    def report(progress: Progress) -> None:
        if left and (progress.phase, progress.iteration) == (where, left[0]):
            left.pop(0)
            raise Stop

    wanted = settings(keep, **EMA)
    whole = fit(tmp_path / "whole", wanted, scorer=Scorer())
    for one in stops:
        if where == "train" or one in SCORES:
            with pytest.raises(Stop):
                fit(tmp_path / "cut", wanted, report, scorer=Scorer())
        else:
            left.pop(0)
        torch.rand(7)  # what happens between must not matter
    cut = fit(tmp_path / "cut", wanted, report, scorer=Scorer())
    assert not left
    assert equal(whole.state_dict(), cut.state_dict())
    lines = [(tmp_path / name / loop.CURVE).read_text() for name in ("whole", "cut")]
    assert lines[0] == lines[1]
    ends = [checkpoint.load(tmp_path / name / loop.CHECKPOINT) for name in ("whole", "cut")]
    assert str(ends[0]) == str(ends[1])
    kept = [end["validations"]["best"].get("detector", {}) for end in ends]
    assert equal(*kept)
    assert bool(kept[0]) == (keep == "best")


def test_what_was_looked_at_after_the_last_checkpoint_is_looked_at_again(tmp_path: Path) -> None:
    """As after kill -9: the curve is ahead of the checkpoint, by losses and by a look."""
    stops = iter((7, 11))
    at = next(stops)

    def report(progress: Progress) -> None:
        if progress.iteration == at and progress.phase == "train":
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            fit(tmp_path / "cut", settings("best"), report, scorer=Scorer())
        if at == 7:
            old = (tmp_path / "cut" / loop.CHECKPOINT).read_bytes()
            at = next(stops)
    (tmp_path / "cut" / loop.CHECKPOINT).write_bytes(old)
    again = Scorer()
    cut = fit(tmp_path / "cut", settings("best"), scorer=again)
    whole = fit(tmp_path / "whole", settings("best"), scorer=Scorer())
    assert sorted(again.seen) == [9, 12]
    assert equal(whole.state_dict(), cut.state_dict())
    lines = [(tmp_path / name / loop.CURVE).read_text() for name in ("whole", "cut")]
    assert lines[0] == lines[1]


def test_it_looks_each_epoch_and_at_the_end(tmp_path: Path) -> None:
    """Epochs of five iterations; the training ends in the third."""
    looks = Scorer(scores={5: 0.3, 10: 0.2, 12: 0.1})
    detector = fit(tmp_path, training(validation={}), scorer=looks)
    assert sorted(looks.seen) == [5, 10, 12]
    assert equal(detector.state_dict(), looks.seen[5])


def test_a_scorer_that_fails_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    def broken(detector: Tiny, report: Any) -> dict[str, float | None]:
        detector.eval()
        raise ValueError("not a score")

    with pytest.raises(ValueError, match="not a score"):
        fit(tmp_path, settings("best"), scorer=broken)
    with pytest.raises(ValueError, match="needs a scorer"):
        fit(tmp_path, settings("best"))


def test_compiled_parts_are_as_they_were_after_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = lambda self: setattr(self, "_compiled_call_impl", self.forward)  # noqa: E731
    monkeypatch.setattr(nn.Module, "compile", marked)
    monkeypatch.setattr(compiling, "check", lambda device: None)
    detector = Tiny()
    with compiling.compiled(detector, True, CPU):
        own = detector.backbone._compiled_call_impl
        for wanted in (False, True):
            with compiling.compiled(detector, wanted, CPU):
                assert (detector.backbone._compiled_call_impl is None) != wanted
            assert detector.backbone._compiled_call_impl is own
    assert detector.backbone._compiled_call_impl is None


def cell(detector: str, *more: str) -> Any:
    found = resolve.cell(detector, "smoke", 0, (*SMALL, *more)).cell
    assert found is not None
    return found


def run(made: Any, work: Path) -> nn.Module:
    host = Host(work, CPU, lambda _: None)
    return loop.train(made, work, host, scorer=scorer(made, host))


@pytest.mark.parametrize("detector", ["fcos-r50", "mask-rcnn-r50"])
def test_a_real_detector_is_scored_as_it_was_looked_at(tmp_path: Path, detector: str) -> None:
    plain = cell(detector)
    best = cell(detector, f"training.validation={EACH_TWO % 'best'}")
    last = cell(detector, f"training.validation={EACH_TWO % 'last'}")
    found = {
        name: run(one, tmp_path / name)
        for name, one in zip("pbl", (plain, best, last), strict=True)
    }
    assert equal(found["p"].state_dict(), found["l"].state_dict())
    for name, one in (("b", best), ("l", last)):
        lines = list(curve.looks(tmp_path / name / loop.CURVE))
        assert [line["iteration"] for line in lines] == [2, 4, 6]
        chosen = curve.best(tmp_path / name / loop.CURVE, "AP") if name == "b" else lines[-1]
        scored = score(found[name], one, Host(tmp_path, CPU, lambda _: None))
        assert chosen is not None
        assert scored.metrics == chosen["validation"]


@pytest.mark.slow
@pytest.mark.parametrize("detector", sorted(load.detectors()))
def test_looking_changes_no_detectors_training(tmp_path: Path, detector: str) -> None:
    """Nothing that an evaluation leaves behind (a cache, a count) reaches a gradient."""
    looked = cell(detector, "training.iterations=3", f"training.validation={EACH_TWO % 'last'}")
    plain = cell(detector, "training.iterations=3")
    found = [run(one, tmp_path / name) for one, name in ((plain, "plain"), (looked, "looked"))]
    assert equal(found[0].state_dict(), found[1].state_dict())


def test_in_parts_averaged_looked_at_and_extended(tmp_path: Path) -> None:
    """Gradient accumulation, EMA, looks and a longer training together, stopped in a look."""
    steady = 'training.schedule={kind = "steps", drops = [], warmup_iterations = 2}'
    more = ("training.accumulate=2", 'training.average={kind = "ema", decay = 0.5}', steady)
    looks = f"training.validation={EACH_TWO % 'best'}"
    short, long = (
        cell("fcos-r50", *more, looks, f"training.iterations={length}") for length in (4, 8)
    )
    left = [2]

    def stop(at: Progress) -> None:
        if left and at.phase == "validate":
            left.pop()
            raise Stop

    def grown(one: Any, report: Any) -> nn.Module:
        host = Host(tmp_path, CPU, report)
        return loop.train(one, tmp_path / "grown", host, None, scorer(one, host), extend=True)

    with pytest.raises(Stop):
        grown(short, stop)
    assert checkpoint.load(tmp_path / "grown" / loop.CHECKPOINT)["validations"]["looked"] == 0
    grown(short, lambda _: None)
    longer, whole = grown(long, lambda _: None), run(long, tmp_path / "whole")
    assert equal(longer.state_dict(), whole.state_dict())
    curves = [(tmp_path / name / loop.CURVE).read_text() for name in ("grown", "whole")]
    assert curves[0] == curves[1]
    ends = [checkpoint.load(tmp_path / name / loop.CHECKPOINT) for name in ("grown", "whole")]
    assert all(end["extended"] == [] for end in ends)
    assert ends[0]["identity"] == ends[1]["identity"]
    assert equal(ends[0]["detector"], ends[1]["detector"])


def test_a_stored_cell_says_how_its_weights_were_chosen(tmp_path: Path) -> None:
    rows = {}
    for keep in ("best", "last"):
        one = cell("fcos-r50", f"training.validation={EACH_TWO % keep}")
        job = TrainJob(
            digest=digest(one), label="x", cell=one, store=str(tmp_path), data_root=str(tmp_path)
        )
        found, _ = compute.train_eval(job, tmp_path / keep, lambda event: None)
        rows[keep] = next(row for row in found if row.metric == "AP")
        again, _ = compute.train_eval(job, tmp_path / keep, lambda event: None)
        assert [row.value for row in again] == [row.value for row in found]
        assert again[0].provenance.get("chosen") == found[0].provenance.get("chosen")
    best, last = rows["best"], rows["last"]
    assert best.protocol["weights"] == "of the best AP on the evaluated images"
    chosen = best.provenance["chosen"]
    assert (chosen["AP"], chosen["of"]) == (best.value, 3)
    assert chosen["iteration"] in (2, 4, 6)
    assert "weights" not in last.protocol
    assert "chosen" not in last.provenance
    cells = [Cell.of_plain(row.provenance["recipe"]) for row in (best, last)]
    [said] = caveats(cells)
    assert said.startswith("Weights were chosen during the training by their AP on the very")
    assert [signature._checkpoint(one) for one in cells] == ["best-AP-on-val", "last"]


def test_digests() -> None:
    """Only a choice changes what is trained, and then how it is scored does too."""
    few = "evaluation.limit=2"
    plain, last, best = (
        cell("fcos-r50", *more)
        for more in (
            (),
            (f"training.validation={EACH_TWO % 'last'}",),
            (f"training.validation={EACH_TWO % 'best'}",),
        )
    )
    assert digest(plain) == digest(last) != digest(best)
    assert trained(plain) == trained(last) != trained(best)
    other = cell("fcos-r50", f"training.validation={EACH_TWO % 'best'}", few)
    assert trained(plain) == trained(cell("fcos-r50", few))
    assert trained(best) != trained(other)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{metric = 'gflops'}", "'gflops' is no score of detections: take one of AP, AP50"),
        ("{every = 0}", "every"),
        ("{unit = 'days'}", "epochs"),
        ("{every = 6, unit = 'iterations'}", "the training ends at 6 iterations, before a first"),
    ],
)
def test_mistakes_are_one_line(given: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        cell("fcos-r50", f"training.validation={given}")
    assert "\n" not in str(caught.value)


def test_a_metric_that_these_images_do_not_have_is_refused_before_the_training(
    tmp_path: Path,
) -> None:
    made = cell("fcos-r50", "training.validation={metric = 'maskAP'}")
    with pytest.raises(RecipeError, match="maskAP is not defined for this detector on these"):
        scorer(made, Host(tmp_path, CPU, lambda _: None))


def test_weights_of_the_end_stay_in_the_checkpoint(tmp_path: Path) -> None:
    made = cell("fcos-r50", f"training.validation={EACH_TWO % 'best'}")
    detector = run(made, tmp_path)
    weights.save(tmp_path / "weights.pt", detector)
    kept = weights.read(tmp_path / loop.CHECKPOINT).state
    content = checkpoint.load(tmp_path / loop.CHECKPOINT)
    assert equal(dict(kept), dict(content["detector"]))
    chosen = content["validations"]["best"]
    assert equal(weights.read(tmp_path / "weights.pt").state, chosen["detector"])
    text = (tmp_path / loop.CURVE).read_text().splitlines()
    assert sum("validation" in json.loads(line) for line in text) == 3
