import pytest
import torch

from detbench.measure import machine, timing
from detbench.measure.timing import Timing, interleaved

CPU = torch.device("cpu")


def test_median_and_p95():
    samples = Timing(tuple(float(value) for value in range(100, -1, -1)))
    assert samples.median_ms == 50
    assert samples.p95_ms == 95
    assert samples.summary()["n"] == 101
    assert samples.summary()["samples_ms"][0] == 100


def test_calls_take_turns_and_warm_up_is_dropped():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = interleaved(calls, CPU, warmup=2, iterations=3)
    assert order == ["a", "b"] * 5
    assert {name: len(timed.samples_ms) for name, timed in found.items()} == {"a": 3, "b": 3}
    assert all(sample >= 0 for sample in found["a"].samples_ms)


def test_the_clock_is_read_after_synchronising(monkeypatch):
    events = []
    monkeypatch.setattr(timing, "synchronize", lambda device: events.append("synchronise"))
    monkeypatch.setattr(timing, "perf_counter", lambda: events.append("clock") or 0.0)
    interleaved({"a": lambda: events.append("call")}, CPU, warmup=0, iterations=1)
    assert events == ["synchronise", "clock", "call", "synchronise", "clock"]


def test_samples_are_milliseconds(monkeypatch):
    ticks = iter([1.0, 1.5])
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))
    found = interleaved({"a": int}, CPU, warmup=0, iterations=1)
    assert found["a"].samples_ms == pytest.approx((500.0,))


def test_machine():
    found = machine.describe(CPU)
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]
