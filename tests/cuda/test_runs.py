"""Whole trainings on a GPU, by the commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SMALL = ("--profile", "smoke", "--set", "data.train=64", "--set", "data.val=32")
COMMAND = (sys.executable, "-m", "detbench")
FORTY = (*SMALL, "--set", "training.iterations=40", "--device", "cuda")


def detbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["total"] for line in (folder / "curve.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["fcos-r50", "faster-rcnn-r50"])
def test_the_same_losses_as_on_the_cpu(tmp_path: Path, name: str) -> None:
    """Draws differ between devices, so a detector that samples does in the first steps already."""
    ten = [*SMALL, "--set", "training.iterations=10"]
    for device in ("cpu", "cuda"):
        detbench("train", name, *ten, "--device", device, "--out", str(tmp_path / device))
    ours, theirs = losses(tmp_path / "cpu"), losses(tmp_path / "cuda")
    close = 0.01 if name == "fcos-r50" else 0.1
    assert theirs[0] == pytest.approx(ours[0], rel=close)
    assert theirs[-1] == pytest.approx(ours[-1], rel=0.25)


@pytest.mark.parametrize("name", ["fcos-r50", "faster-rcnn-r50"])
def test_a_stopped_run_goes_on(tmp_path: Path, name: str) -> None:
    """It ends where an undisturbed one does, but for sums that some of CUDA's kernels reorder."""
    detbench("train", name, *FORTY, "--out", str(tmp_path / "whole"))
    arguments = [*COMMAND, "train", name, *FORTY, "--out", str(tmp_path / "cut")]
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=said, stderr=said)
        curve, end = tmp_path / "cut" / "curve.jsonl", time.monotonic() + 120
        while not (curve.exists() and curve.read_text().count("\n") > 3):
            assert time.monotonic() < end, (tmp_path / "said").read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0, "it ended before it was stopped"
    detbench("train", name, *FORTY, "--out", str(tmp_path / "cut"))
    ours, theirs = losses(tmp_path / "whole"), losses(tmp_path / "cut")
    assert len(ours) == len(theirs) == 40
    assert theirs[:4] == pytest.approx(ours[:4], rel=1e-3)
    assert theirs[-1] == pytest.approx(ours[-1], rel=0.1)
    weights = [torch.load(tmp_path / one / "weights.pt")["detector"] for one in ("whole", "cut")]
    if name == "fcos-r50":
        assert all(torch.equal(x, weights[1][key]) for key, x in weights[0].items())


def test_cells_share_a_gpu(tmp_path: Path) -> None:
    done = detbench(
        *("run", "tscode-table1", *FORTY, "--rows", "FCOS*", "--jobs", "2"),
        *("--gpus-per-cell", "0.5", "--results", str(tmp_path), "--format", "json"),
    )
    assert len(json.loads(done.stdout)["rows"]) >= 4
    stored = detbench("results", "list", "--results", str(tmp_path), "--format", "json")
    assert "cuda" in stored.stdout.lower() or "nvidia" in stored.stdout.lower()


def test_commands_of_a_gpu() -> None:
    assert "cuda:0" in detbench("doctor").stdout
    found = json.loads(
        detbench(
            *("latency", "fcos-r50", "--device", "cuda", "--input", "256x256"),
            *("--format", "json", "--precision", "bf16"),
        ).stdout
    )
    assert "cuda" in json.dumps(found).lower()
