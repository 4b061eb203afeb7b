"""A table in every state: several seeds, differences, error types, blanks for every reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from report.made_store import PROVENANCE, TABLE, fail, fill

from detbench.data.shapes import Shapes
from detbench.evaluation.coco import evaluate
from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.recipe.table import Profile, Row
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan, Task

ROWS = (
    *TABLE.rows,
    Row(label="FCOS again", detector="fcos-r50", columns={"Method": "FCOS"}),
    Row(label="FCOS, deeper", detector="fcos-r50", heads={"both": {"kind": "tower", "depth": 5}}),
)
COLUMNS = ("AP", "AP50", "APs", "E_cls", "E_loc", "E_miss", "gflops", "parameters")


def profile() -> Profile:
    """``smoke`` with the scenes, the training and the words that it had when this was printed."""
    smoke = load.profile("smoke")
    assert isinstance(smoke.data, Shapes)
    assert smoke.training is not None
    data = smoke.data.model_copy(update={"variant": "easy", "val": 20})
    settings = {"iterations": 300, "batch": 16, "reference_batch": 16, "weights": "none"}
    training = smoke.training.model_copy(update=settings)
    said = {
        "title": "Two CPU cores, a table in minutes, embedded data",
        "notes": (
            "Measured on the embedded data set with a light network: not comparable to published "
            "AP.",
        ),
    }
    return smoke.model_copy(update={"data": data, "training": training, **said})


def make(root: Path, seeds: tuple[int, ...]) -> Plan:
    """The table under ``smoke``; its data are embedded."""
    table = TABLE.model_copy(update={"rows": ROWS, "columns": COLUMNS, "breaks": ("GFL",)})
    made = plans.make(table, profile(), seeds, None)
    return replace(made, data_root=root)


def store(root: Path) -> Store:
    """FCOS, ATSS and the deeper FCOS are done with two seeds, GFL's second failed."""
    found = Store(root)
    plan = make(root, (0, 1))
    noises = {"FCOS": 0.12, "ATSS": 0.06, "FCOS, deeper": 0.09}
    for place, row in enumerate(plan.rows):
        for number, task in enumerate(row.train):
            if row.row.label in noises:
                _detect(found, task, noises[row.row.label], 10 * place + number)
        if row.cost and row.row.label != "GFL":
            fill(found, row.cost, None, gflops=200.5 + place, parameters=32.0)
    fail(found, plan.rows[2].train[1], "out of memory")
    return found


def _detect(store: Store, task: Task, noise: float, seed: int) -> None:
    """Store a cell whose boxes are off by ``noise`` of their sides, and some of another class."""
    assert isinstance(task.cell, Cell)
    ground = task.cell.data.truth(Path())
    rng = np.random.default_rng(seed)
    labels = [one["id"] for one in ground["categories"]]
    found = []
    for item in ground["annotations"]:
        x, y, w, h = item["bbox"]
        box = np.array([x, y, w, h]) + rng.normal(0, noise, 4) * [w, h, w, h]
        wrong = rng.random() < noise
        found.append(
            {
                "image_id": item["image_id"],
                "category_id": labels[0] if wrong else item["category_id"],
                "bbox": [float(side) for side in np.maximum(box, 0.1)],
                "score": float(rng.random()),
            }
        )
    metrics = evaluate(ground, found, task.cell.evaluation)
    rows = [
        Measurement(
            *(task.digest, "train-eval", name, value, "fraction", {"images": 20}, task.cell.seed),
            reason="" if value is not None else "no object of this size among the val images",
            provenance=PROVENANCE,
        )
        for name, value in metrics.items()
    ]
    store.add(rows, found)
