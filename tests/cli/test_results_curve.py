"""Curves for TensorBoard, Trackio and W&B: by the libraries where they are installed."""

from __future__ import annotations

import json
import os
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from commands import Call

from detbench.recipe import load, resolve
from detbench.recipe.digest import digest, training
from detbench.report import tracking
from detbench.results.schema import Measurement
from detbench.results.store import Store

LINES = [
    {"iteration": 1, "lr": 0.1, "total": 3.0, "cls": 1.0, "loc": 2.0},
    {"iteration": 2, "lr": 0.2, "total": 1.5, "cls": 0.5, "loc": 1.0},
    {"iteration": 2, "validation": {"AP": 0.25, "APl": None}},
]
POINTS = [
    (1, {"train/lr": 0.1, "train/total": 3.0, "train/cls": 1.0, "train/loc": 2.0}),
    (2, {"train/lr": 0.2, "train/total": 1.5, "train/cls": 0.5, "train/loc": 1.0, "val/AP": 0.25}),
]
MISSING = "{0} needs {0}: pip install 'detbench[{0}]'"


def made(folder: Path, lines: list[dict[str, Any]] = LINES) -> Path:
    folder.mkdir(parents=True)
    path = folder / "curve.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def exported(call: Call, tracker: str, *more: str) -> bool:
    """Whether ``tracker`` wrote two curves to ``logs``; without its library it says what to do."""
    code, out, err = call("results", "curve", "a/run", "b/run", "--to", tracker, *more)
    assert out == ""
    if find_spec(tracker) is not None:
        assert (code, f"logs: 2 curves for {tracker}" in err) == (0, True), err
        return True
    assert code == 2
    assert err.splitlines()[-1] == f"detbench: --to {MISSING.format(tracker)}"
    assert not Path("logs").exists()
    return False


@pytest.fixture
def _two(tmp_path: Path) -> None:
    """Two folders of one name, in the current one."""
    made(tmp_path / "a" / "run")
    made(tmp_path / "b" / "run", LINES[:1])


def test_points_are_those_of_the_curve(tmp_path: Path) -> None:
    path = made(tmp_path / "run")
    with open(path, "a") as file:
        file.write('{"iteration": 3, "lr')
    assert list(tracking.points(path)) == POINTS
    assert list(tracking.points(tmp_path / "none")) == []


@pytest.mark.usefixtures("_two")
def test_tensorboard(call: Call) -> None:
    if not exported(call, "tensorboard", "--output", "logs"):
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator("logs/run").Reload()
    found: dict[int, dict[str, float]] = {}
    for name in events.Tags()["scalars"]:
        for one in events.Scalars(name):
            found.setdefault(one.step, {})[name] = pytest.approx(one.value)
    assert found == dict(POINTS)
    other = EventAccumulator("logs/run-2").Reload()
    assert [one.step for one in other.Scalars("train/total")] == [1]


@pytest.mark.usefixtures("_two")
def test_trackio(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the user's own environment sends runs elsewhere."""
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/elsewhere")
    if not exported(call, "trackio", "--output", "logs"):
        return
    [path] = Path("logs").glob("*.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("select run_name, step, metrics from metrics").fetchall()
    assert [(step, json.loads(text)) for name, step, text in rows if name == "run"] == POINTS
    assert sum(name == "run-2" for name, _, _ in rows) == 1
    assert os.environ["TRACKIO_SPACE_ID"] == "somebody/elsewhere"


@pytest.mark.usefixtures("_two")
@pytest.mark.filterwarnings("ignore")  # of its own imports
def test_wandb(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    if not exported(call, "wandb", "--output", "logs"):
        return
    files = list(Path("logs").glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    texts = [path.read_bytes() for path in files]
    assert sum(b"val/AP" in text for text in texts) == 1
    assert all(b"train/total" in text for text in texts)
    assert os.environ["WANDB_MODE"] == "online"


class Writer:
    """Stands for a library: remembers what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: dict[str, tuple[list[tracking.Point], dict[str, Any]]] = {}
        monkeypatch.setitem(tracking.TRACKERS, "wandb", ("json", self))

    def __call__(self, found: Any, source: tracking.Source, output: Path) -> None:
        self.given[source.name] = (list(found), source.settings)


def test_rows_and_cells_of_the_store(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writer = Store(tmp_path / "results"), Writer(monkeypatch)
    rows = resolve.cells(load.table("tscode-table1"), load.profile("smoke"))
    cell = rows[0].settled(None).cell
    assert cell is not None
    made(store.work(training(cell)))
    name = digest(cell)
    origin = {"recipe": cell.model_dump(mode="json")}
    store.add([Measurement(name, "train-eval", "AP", 0.1, "fraction", seed=0, provenance=origin)])
    to = ("--to", "wandb", "--profile", "smoke", "--output")
    row = f"tscode-table1:{rows[0].row.label}"
    code, _, err = call("results", "curve", row, name[:8], *to, "logs")
    assert code == 0, err
    assert list(writer.given) == [f"tscode-table1-{rows[0].row.label}-seed0", name[:12]]
    for found, settings in writer.given.values():
        assert found == POINTS
        assert settings == cell.model_dump(mode="json")


@pytest.mark.usefixtures("_two")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "'nothing' is no folder with curve.jsonl, no row as in tscode-table1:FCOS"),
        (("tscode-table1:FCOZ",), "tscode-table1 has no such row"),
        (("abcdef12",), "digest 'abcdef12': no cells in"),
        (("tscode-table1:FCOS", "--profile", "smoke"), "curve.jsonl: no such file"),
        (("empty",), "empty/curve.jsonl: no line of a curve in it"),
        (("a/run", "--output", "a"), "a: has something in it already: name a new folder"),
        (("a/run", "--to", "mlflow"), "mlflow"),
    ],
)
def test_mistakes_are_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, said: str
) -> None:
    Writer(monkeypatch)
    made(tmp_path / "empty", [])
    more = () if "--to" in words else ("--to", "wandb")
    output = () if "--output" in words else ("--output", "logs")
    code, _, err = call("results", "curve", *words, *more, *output)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
