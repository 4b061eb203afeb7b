"""``benchmarks/gpu.py`` keeps to its plan and its time, keeps what it has, and runs on a CPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu as found

    return found


def steps(gpu: Any, **asked: Callable[[Any], dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(gpu.Step(name, ask, 0) for name, ask in asked.items())


def fails(run: Any) -> dict[str, Any]:
    raise ValueError("so it is")


def test_what_fails_or_is_late_is_kept_and_the_rest_is_taken(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def late(run: Any) -> dict[str, Any]:
        # What is known so far is on the disk before a step ends.
        [path] = tmp_path.glob("gpu-*.json")
        seen.append(json.loads(path.read_text())["steps"]["good"]["status"])
        run.check()
        while True:
            run.end = time.monotonic() - 1
            run.check()

    seen: list[str] = []
    good = {"number": 1, "wrong": []}
    made = steps(
        gpu,
        good=lambda run: good,
        fails=fails,
        late=late,
        wrong=lambda run: {"wrong": ["one"]},
        last=lambda run: good,
    )
    monkeypatch.setattr(gpu, "STEPS", made)
    assert gpu.main(["--device", "cpu", "--output", str(tmp_path)]) == 1
    [path] = tmp_path.glob("gpu-*.json")
    kept = json.loads(path.read_text())["steps"]
    statuses = {name: one["status"] for name, one in kept.items()}
    assert statuses == {
        "good": "done", "fails": "failed", "late": "cut", "wrong": "wrong", "last": "done",
    }  # fmt: skip
    assert (kept["good"]["number"], kept["fails"]["reason"]) == (1, "ValueError: so it is")
    assert seen == ["done"]
    said = capsys.readouterr().out
    assert said.startswith("8 minutes of cpu: good (0 s), fails (0 s)")
    assert "late: cut" in said


def test_what_the_time_does_not_reach_says_so(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "STEPS", steps(gpu, one=fails, two=fails))
    assert gpu.main(["--device", "cpu", "--minutes", "0", "--output", str(tmp_path)]) == 0
    [path] = tmp_path.glob("gpu-*.json")
    kept = json.loads(path.read_text())["steps"]
    assert kept == {"one": {"status": "not reached"}, "two": {"status": "not reached"}}


def test_operations_and_some_detectors_on_a_cpu(gpu: Any, tmp_path: Path) -> None:
    import gpu_checks

    asked = ["--device", "cpu", "--small", "--output", str(tmp_path), "--only"]
    assert gpu.main([*asked, "operations"]) == 0
    [path] = tmp_path.glob("gpu-*.json")
    [step] = json.loads(path.read_text())["steps"].values()
    assert set(step["differences"]) >= {"deformable convolution", "NMS", "RoIAlign"}
    assert step["wrong"] == []
    run = gpu.Run(gpu.resolve("cpu"), time.monotonic() + 60, True, tmp_path, tmp_path / "x.json")
    found = gpu_checks.each(run, lambda name: {"wrong": name == gpu_checks.names(run)[0]})
    assert found["wrong"] == gpu_checks.names(run)[:1]
    late = gpu.Run(run.device, time.monotonic() - 1, True, tmp_path, tmp_path / "x.json")
    assert gpu_checks.each(late, fails)["not reached"] == gpu_checks.names(late)


def test_an_unknown_step_is_named(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--only", "sped,cells"]) == 2
    assert "--only sped: there are tests, operations, " in capsys.readouterr().err
