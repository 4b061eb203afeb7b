"""A small table and a store that holds some of it, for tests of reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from detbench.evaluation.coco import evaluate
from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.recipe.table import Row, Table
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.compute import protocol
from detbench.runner.plan import Plan, Task

TABLE = Table(
    id="own-table1",
    title="Two <detectors> & more",
    paper="own",
    columns=("AP", "AP50", "gflops"),
    schedule="coco-1x",
    notes=("A note </script> of the table.",),
    breaks=("ATSS",),
    rows=(
        Row(
            label="FCOS",
            detector="fcos-r50",
            columns={"Method": "FCOS"},
            published={"AP": 38.7, "gflops": 200.59},
            misprints={"AP": "printed wrongly"},
        ),
        Row(
            label="ATSS",
            detector="atss-r50",
            columns={"Method": "ATSS"},
            published={"AP": 39.4, "gflops": 205.3},
        ),
        Row(label="GFL", detector="gfl-r50", columns={"Method": "GFL"}),
        Row(label="Cited", published={"AP": 41.0}, cited="its code is not public"),
    ),
)
PROVENANCE = {
    "git": "abc123",
    "device": "a CPU",
    "torch": "2.9",
    "started": "2026-01-01T00:00:00+00:00",
    "recipe": {"detector": {"kind": "</script><b>", "numbers": list(range(30))}},
}


def make(
    profile: str = "smoke",
    seeds: tuple[int, ...] = (0,),
    rows: str | None = None,
    overrides: tuple[str, ...] = (),
) -> Plan:
    """The table under a profile."""
    return plans.make(TABLE, load.profile(profile), seeds, rows, overrides)


def fill(store: Store, task: Task, seed: int | None = 0, **values: float | None) -> None:
    """Store a finished cell."""
    store.add(
        [
            Measurement(
                *(task.digest, task.kind, metric, value, "fraction", {"images": 200}, seed),
                reason="" if value is not None else "no object of this size among the val images",
                provenance=PROVENANCE,
            )
            for metric, value in values.items()
        ]
    )


def fill_boxes(
    store: Store, task: Task, off: float, seed: int = 0, detections: bool = True
) -> float:
    """Store a cell whose boxes are off by a share of their sides; its AP in percent."""
    assert isinstance(task.cell, Cell)
    ground = task.cell.data.truth(Path())
    rng = np.random.default_rng(seed)
    found = []
    for item in ground["annotations"]:
        x, y, w, h = item["bbox"]
        box = np.array([x, y, w, h]) + rng.normal(0, off, 4) * [w, h, w, h]
        found.append(
            {
                "image_id": item["image_id"],
                "category_id": item["category_id"],
                "bbox": [float(side) for side in np.maximum(box, 0.1)],
                "score": float(rng.random()),
            }
        )
    metrics = evaluate(ground, found, task.cell.evaluation)
    how = protocol(task.cell, len(ground["images"]))
    rows = [
        Measurement(task.digest, "train-eval", name, value, "fraction", how, task.cell.seed)
        for name, value in metrics.items()
        if value is not None
    ]
    store.add(rows, found if detections else None)
    assert metrics["AP"]
    return 100 * metrics["AP"]


def fail(store: Store, task: Task, reason: str) -> None:
    """Store a failed cell."""
    store.add(
        [Measurement(*(task.digest, task.kind, "cell", None, ""), status="failed", reason=reason)]
    )


def all_metrics(ap: float) -> dict[str, float | None]:
    """Everything that an evaluation stores, with AP50 to AP95 falling from ``ap``."""
    found: dict[str, float | None] = {"AP": ap, "APs": None, "APm": ap, "APl": ap + 0.1}
    found |= {f"AP{p}": ap + (75 - p) / 200 for p in range(50, 100, 5)}
    return found


def curve(store: Store, task: Task, *losses: float) -> None:
    """Leave a loss curve."""
    folder = store.work(task.work)
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"iteration": i, "lr": 0.1, "total": loss}) for i, loss in enumerate(losses, 1)
    ]
    (folder / "curve.jsonl").write_text("\n".join(lines))
