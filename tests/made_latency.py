"""Stored latencies that nobody measured, with known numbers."""

from __future__ import annotations

from typing import Any

from detbench.recipe.detector import Detector
from detbench.results.store import Store
from detbench.runner import latency
from detbench.runner.latency import LatencyCell, Machine

CPU = Machine(device="a CPU", cpu="a CPU", cores=4, threads=2, torch="2.9")
GPU = Machine(
    device="a GPU", cpu="a CPU", cores=4, threads=2, torch="2.9", driver="580.1", power_cap_w=700.0
)


def cell(spec: Detector, machine: Machine = CPU, **more: Any) -> LatencyCell:
    made = {"num_classes": 12, "input": (128, 128), "machine": machine, **more}
    return LatencyCell(detector=spec, **made)


def steps(total: float, n: int = 20) -> dict[str, dict[str, Any]]:
    """Passes whose totals are spread by a millisecond around ``total``; the model is half of it."""
    samples = [total + (place - (n - 1) / 2) / (n - 1) for place in range(n)]
    found = {}
    for name, factor in (("preprocess", 0.1), ("model", 0.5), ("postprocess", 0.4), ("total", 1.0)):
        times = [factor * one for one in samples]
        middle, high = factor * total, factor * (total + 0.45)
        found[name] = {"median_ms": middle, "p95_ms": high, "n": n, "samples_ms": times}
    return found


def store(root: Store, made: LatencyCell, total: float, names: tuple[str, str], **more: Any) -> str:
    """Store a time of a row; its digest."""
    origin = {"table": names[0], "row": names[1], "profile": "smoke", "detbench": "1", **more}
    rows = latency.rows(made, steps(total), 5, origin)
    root.add(rows)
    return rows[0].digest
