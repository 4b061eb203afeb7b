"""Cells measured elsewhere, with other versions, on another device or with other threads.

Seen: they stood side by side without a word. Right: they are compared, and the table says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from report import made_store

from detbench.report import ablation, conditions
from detbench.report.results import TableResults
from detbench.results.store import Store


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"device": "another CPU"}, "device a CPU (1), another CPU (1)."),
        ({"torch": "2.8", "threads": 4}, "torch 2.9 (1), 2.8 (1)."),
        ({}, None),
    ],
)
def test_the_table_says_so(
    tmp_path: Path, other: dict, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = made_store.make(rows="FCOS,ATSS"), Store(tmp_path)
    for row, more in zip(plan.rows, ({}, other), strict=True):
        monkeypatch.setattr(made_store, "PROVENANCE", {**made_store.PROVENANCE, **more})
        made_store.fill(store, row.train[0], **made_store.all_metrics(0.25))
        assert row.cost is not None
        made_store.fill(store, row.cost, seed=None, gflops=200.0)  # whose machine plays no part
    results = TableResults(plan, store)
    found = [one for one in ablation._notes(results) if "different conditions" in one]
    assert [one.partition("conditions: ")[2] for one in found] == ([said] if said else [])
    assert set(results.conditions) == set(other) - {"threads"}  # which the first does not say
    assert ablation.payload(results)["conditions"] == results.conditions


def test_what_failed_does_not_count(tmp_path: Path) -> None:
    plan, store = made_store.make(rows="FCOS"), Store(tmp_path)
    made_store.fail(store, plan.rows[0].train[0], "it failed")
    stored = store.get(plan.rows[0].train[0].digest)
    assert stored is not None
    assert conditions.differing([stored]) == {}
