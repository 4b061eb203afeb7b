"""Several gloo processes on the CPU train as one process does."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import team
import torch
from together import LIVE, STEADY, assert_close, finish, start, together

from detbench import sharding
from detbench.training import checkpoint, curve, loop

APART = (
    'detector.assignment.both={kind="proposals",train_count=96,test_count=96}',
    "detector.pixels.std=[57.0,57.0,57.0]",
    *STEADY,
    "training.optimizer.lr=1e-4",
)
"""Each image has proposals of its own (images that share them do so within a process), and pixels
are of the order of 1, or first gradients would be of that of 100. Steps are short, as batch norm
over the few cells of regions enlarges rounding too."""


@pytest.fixture(autouse=True)
def _as_before() -> Any:
    before = loop.READ_EVERY_S, torch.get_num_threads()
    yield
    loop.READ_EVERY_S = before[0]
    torch.set_num_threads(before[1])


ODD = ("data.train=10", "training.iterations=3")
"""An epoch, whose last batch is of two images."""

LOOKS = ('training.validation={every=2,unit="iterations"}',)

CASES = {
    "dense": ("gfl-r50",),
    "batch norm": ("fcos-r50", *LIVE),
    "totals": ("ddod-r50", *ODD, *STEADY),
    "soft targets": ("tood-r50", "detector.assignment.both.warmup=1", *STEADY),
    "mixture": ("paa-r50", *ODD, *STEADY),
    "learnt prior": ("autoassign-r50", *ODD, *STEADY),
    "weights": ("dw-r50", *ODD, *STEADY),
    "matched": ("defcn-r50", *ODD, *STEADY),
    "guided": ("gflv2-r50", "training.iterations=2", *STEADY),
    "transported": ("ota-r50", "training.iterations=2", *STEADY),
    "averaged": ("fcos-r50", 'training.average={kind="ema",decay=0.5}'),
    "looked at": ("fcos-r50", 'training.average={kind="ema",decay=0.5}', *LOOKS),
    "rest": ("retinanet-r50", *ODD, *STEADY),
    "regions": ("faster-rcnn-r50", *STEADY),
    "two heads": ("double-head-ext-r50", "training.iterations=2", *APART),
    "two sets": ("decoupled-rcnn-r50", *ODD, *STEADY),
    "in parts": (
        *("ddod-r50", "training.batch=7", "training.accumulate=2", "training.iterations=2"),
        *STEADY,
    ),
    "sibling": ("tsd-r50", "training.iterations=3", *STEADY),
    "masks": ("mask-rcnn-r50", "training.iterations=2", *STEADY),
}


def cases(folder: Path) -> list[list[str]]:
    return [[str(folder / name), *case] for name, case in CASES.items()]


def test_losses_and_detections_are_those_of_one_process(tmp_path: Path) -> None:
    """Of three, the third has nothing to do in a batch of the two that are left of ten images.

    They also end what one process began, and evaluate what one has trained. One test, so that the
    processes start once.
    """
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    team.run({"cases": cases(alone)})
    begun, done = ([str(shared / name), *CASES["regions"]] for name in ("begun", "done"))
    with pytest.raises(team.Stop):
        team.run({"cases": [begun], "stop": [0, 3]})
    shutil.copytree(alone / "regions", shared / "done")
    (shared / "done" / "result.json").unlink()
    together(shared, 3, cases=[*cases(shared), begun, done])

    for name, case in CASES.items():
        settings = dict(s.split("=", 1) for s in case[1:])
        assert_close(alone / name, shared / name, int(settings.get("training.iterations", 4)))
    assert_close(alone / "regions", shared / "begun")
    found, expected = (
        json.loads((folder / "result.json").read_text())
        for folder in (shared / "done", alone / "regions")
    )
    assert len(expected[1]) > 100
    assert found == expected


def test_a_stop_in_one_process_saves_once_and_fewer_go_on(tmp_path: Path) -> None:
    cut, whole = ([str(tmp_path / name), *CASES["regions"]] for name in ("cut", "whole"))
    codes, said = finish(start(tmp_path, 2, cases=[cut], stop=[1, 2]), tmp_path)
    assert codes == [143, 99], said
    assert checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT)["iteration"] == 2
    team.run({"cases": [cut, whole]})
    assert_close(tmp_path / "whole", tmp_path / "cut")


def test_a_stop_in_a_look_saves_once_and_one_goes_on(tmp_path: Path) -> None:
    """The others finish their share of the look, so that it is not looked at again."""
    cut, whole = ([str(tmp_path / name), "fcos-r50", *LOOKS] for name in ("cut", "whole"))
    stop = [1, 2, "validate"]
    codes, said = finish(start(tmp_path, 2, cases=[cut], stop=stop), tmp_path)
    assert codes == [143, 99], said
    saved = checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT)
    assert (saved["iteration"], saved["validations"]["looked"]) == (2, 2)
    team.run({"cases": [cut, whole]})
    assert_close(tmp_path / "whole", tmp_path / "cut")
    looks = [list(curve.looks(tmp_path / name / loop.CURVE)) for name in ("whole", "cut")]
    assert [one["iteration"] for one in looks[1]] == [2, 4]
    assert [one["validation"]["AR"] for one in looks[0]] == pytest.approx(
        [one["validation"]["AR"] for one in looks[1]], abs=1e-6
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kill", "ProcessLost: another process of this training ended"),
        ("memory", "CellFailed: out of memory: try --set training.precision=bf16"),
    ],
)
def test_a_process_that_ends_ends_the_others_with_one_message(
    tmp_path: Path, how: str, message: str
) -> None:
    case = [str(tmp_path / "work"), *CASES["batch norm"], "training.iterations=1000"]
    processes = start(tmp_path, 2, cases=[case], fault=[1, how])
    processes[1].join(120)
    ended = time.monotonic()
    codes, said = finish(processes, tmp_path)
    assert time.monotonic() - ended < 30
    assert codes == [1, -9 if how == "kill" else 1]
    assert message in said
    assert said.count("ProcessLost") + said.count("CellFailed") == 1
    assert "Traceback" not in said


def test_one_process_computes_as_if_there_were_no_teams() -> None:
    amount = torch.tensor(0)
    assert sharding.normaliser(amount).dtype == torch.int64
    assert int(sharding.normaliser(amount)) == 1
    assert sharding.largest(7) == 7
    torch.manual_seed(1)
    expected = torch.rand(2, 3)
    torch.manual_seed(1)
    assert torch.equal(sharding.uniform((2, 3), torch.device("cpu")), expected)
