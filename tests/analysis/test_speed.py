"""AP against stored latency: what is compared, what has axes of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_latency
import numpy as np
import pytest
from made_analysis import GROUPS

from detbench.analysis import engine, speed
from detbench.analysis.files import Looked
from detbench.analysis.kind import Analysis, Measured
from detbench.analysis.subjects import Subject
from detbench.evaluation.truth import Truths
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.results.verify import verify


def subject(store: Store, name: str, ap: float) -> Subject:
    """A training of which a score is stored, and no detections."""
    cell = resolve.cell(name, "smoke", overrides=("data.val=4",)).cell
    assert cell is not None
    made = Subject(name, cell, digest(cell), Path("work"), None, f"own:{name}")
    store.add([Measurement(made.digest, "train-eval", "AP", ap, "fraction", seed=0)])
    return made


def timed(store: Store, of: Subject, ms: float, load: float = 0.1, **more: object) -> None:
    cell = made_latency.cell(of.cell.detector, **more)  # type: ignore[arg-type]
    said = {"before": {"load": load}, "ended": f"2026-01-01T00:00:{ms:02.0f}+00:00"}
    made_latency.store(store, cell, ms, ("own", of.label), **said)


def request(store: Store, *rows: Subject) -> engine.Request:
    truths = Truths(store.root)
    every = tuple((one,) for one in rows)
    how = (Looked(0), store, truths, lambda subject: None)
    return engine.Request(speed.KIND, every, {}, *how)


def test_times_of_one_machine_are_compared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fcos, atss = subject(store, "fcos-r50", 0.30), subject(store, "atss-r50", 0.32)
    timed(store, fcos, 20.0)
    timed(store, atss, 23.0, load=8.0)
    timed(store, atss, 2.0, load=8.0, machine=made_latency.GPU)
    analysis = engine.run(request(store, fcos, atss))
    found = {(one.row, one.baseline, one.part, one.name): one for one in speed.numbers(analysis)}
    ap = found["atss-r50", "fcos-r50", "scores", "AP"]
    assert (ap.value, ap.low) == (pytest.approx(2.0), None)
    assert ap.reason == "no detections are stored: its interval is not known"
    total = found["fcos-r50", "", "on 1", "total, median ms"]
    assert (total.value, total.n) == (20.0, 20)
    # The 6th and the 15th of twenty, evenly spread over a millisecond.
    assert (total.low, total.high) == (pytest.approx(20 - 4.5 / 19), pytest.approx(20 + 4.5 / 19))
    assert found["fcos-r50", "", "on 1", "total, P95 ms"].value == 20.45
    slower = found["atss-r50", "fcos-r50", "on 1", "total, median ms"]
    assert slower.value == 3.0
    assert slower.low is not None
    assert slower.high is not None
    assert 2.4 < slower.low < 3.0 < slower.high < 3.6
    on_gpu = [key for key in found if key[2] == "on 2"]
    assert {key[0] for key in on_gpu} == {"atss-r50"}
    assert not [key for key in on_gpu if key[1]]
    assert "Not timed: fcos-r50 on 2." in speed.notes(analysis)
    busy = ", ".join(f"atss-r50 on {place} (load 2.0 for each core)" for place in (1, 2))
    assert f"Timed while other programs used the machine: {busy}." in speed.notes(analysis)


def test_each_condition_has_axes_of_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [subject(store, name, ap) for name, ap in (("fcos-r50", 0.30), ("atss-r50", 0.32))]
    rows.append(subject(store, "gfl-r50", 0.31))
    for one, ms in zip(rows, (20.0, 23.0, 25.0), strict=True):
        timed(store, one, ms)
    for one, ms in zip(rows[:2], (2.0, 3.0), strict=True):
        timed(store, one, ms, machine=made_latency.GPU)
    analysis = engine.run(request(store, *rows))
    cpu, gpu = speed.draw(analysis, speed.numbers(analysis), ("Title", "Note.")).axes
    points = [
        [tuple(p) for line in ax.lines if line.get_gid() == "points" for p in line.get_xydata()]
        for ax in (cpu, gpu)
    ]
    assert points[0] == [(20.0, 30.0), (23.0, 32.0), (25.0, 31.0)]
    assert points[1] == [(2.0, 30.0), (3.0, 32.0)]
    # GFL is slower and worse than ATSS; two points have no front.
    [front] = [line for line in cpu.lines if line.get_gid() == "front"]
    assert front.get_xdata().tolist() == [20.0, 23.0]
    assert not [line for line in gpu.lines if line.get_gid() == "front"]


def test_a_time_measured_again_is_read_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fcos = subject(store, "fcos-r50", 0.30)
    timed(store, fcos, 20.0)
    engine.run(request(store, fcos))
    timed(store, fcos, 30.0)
    [row] = engine.run(request(store, fcos)).rows
    table = row.tables[0]
    assert np.median(table["value"][(table["what"] == "ms") & (table["step"] == "total")]) == 30.0
    # Both tables are sound by what their names are hashes of.
    found = [one for one in verify(store.root) if one.path.parent.name == "analyses"]
    assert [(one.path.name[:6], one.status) for one in found] == [("speed-", "ok")] * 2


def test_ap_has_the_interval_of_its_replicates() -> None:
    def table(ap: float, draws: np.ndarray) -> dict[str, np.ndarray]:
        lines = [("AP", ap), ("images", 100.0), *(("AP in a replicate", one) for one in draws)]
        return {
            "image": np.zeros(len(lines), np.int64),
            "what": np.array([what for what, _ in lines], object),
            "step": np.array([""] * len(lines), object),
            "condition": np.array([""] * len(lines), object),
            "value": np.array([value for _, value in lines]),
        }

    rng = np.random.default_rng(0)
    draws = rng.normal(0.3, 0.01, 1000)
    other = draws + rng.normal(0.02, 0.001, 1000)
    rows = (
        Measured("A", (0,), (table(0.3, draws),)),
        Measured("B", (0,), (table(0.32, other),)),
    )
    made = Analysis(rows, np.array([0]), replace(GROUPS), (), {}, "")
    alone, _, less = speed.numbers(made)
    assert (alone.low, alone.high) == (pytest.approx(28.0, abs=0.2), pytest.approx(32.0, abs=0.2))
    # Paired: what both replicates share drops out.
    assert less.value == pytest.approx(2.0)
    assert (less.low, less.high) == (pytest.approx(1.8, abs=0.02), pytest.approx(2.2, abs=0.02))


@pytest.mark.parametrize(("count", "known"), [(5, False), (6, True), (100, True)])
def test_an_interval_of_a_median_covers_it(count: int, known: bool) -> None:
    rng = np.random.default_rng(count)
    ends = [speed.of_median(rng.random(count)) for _ in range(400)]
    if not known:
        assert set(ends) == {(None, None)}
        return
    held = np.mean(
        [low <= 0.5 <= high for low, high in ends if low is not None and high is not None]
    )
    assert held > 0.93
