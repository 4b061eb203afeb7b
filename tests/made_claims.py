"""Made tables with claims whose truth is known, in a store, with detections of made detectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from made_detectors import Made, detect, scenes

from detbench.recipe import load, resolve
from detbench.recipe.experiment import Cell
from detbench.recipe.table import Table
from detbench.report.differences import Bench
from detbench.report.results import TableResults
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import DataSource, Plan
from detbench.statistics.small import FEWEST

HOSTS = {"fcos": 0.13, "atss": 0.11}
"""Host -> how far its boxes are off, as a share of their sides."""
PARTS = {"": 1.0, "sharper": 0.5, "blunter": 2.0, "alike": 1.0, "hair": 0.985}
"""What a part does to that: one gains 20 points of AP, one loses 16, one gains 0.5, one none."""
SPREAD = 0.02
"""Of its logarithm over trainings: about a point of AP, besides what each draws."""

CLAIMS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sharper is better": ({"kind": "better", "rows": ["* sharper"]}, ("supported",)),
    "blunter is better": ({"kind": "better", "rows": ["* blunter"]}, ("contradicted",)),
    "sharper gains 40": (
        {"kind": "better", "rows": ["* sharper"], "least": 40},
        ("contradicted",),
    ),
    "alike is as good": ({"kind": "equal", "rows": ["* alike"], "margin": 6}, ("supported",)),
    "sharper is as good": (
        {"kind": "equal", "rows": ["* sharper"], "margin": 0.5},
        ("contradicted",),
    ),
    "blunter, then plain, then sharper": (
        {"kind": "order", "rows": ["fcos blunter", "fcos", "fcos sharper"]},
        ("supported",),
    ),
    "sharper is the best": (
        {"kind": "best", "rows": ["atss sharper"], "of": ["atss*"]},
        ("supported",),
    ),
    "sharper gains more at 0.75 than at 0.5": (
        {"kind": "grows", "rows": ["* sharper"], "metrics": ["AP50", "AP75"]},
        ("supported",),
    ),
    # True, by less than three seeds can show: anything but contradicted.
    "a hair is better": (
        {"kind": "better", "rows": ["* hair"]},
        ("supported", "equivalent", "undecided"),
    ),
    # Neither better nor worse: nothing is found of its sign.
    "alike is better": ({"kind": "better", "rows": ["* alike"]}, ("equivalent", "undecided")),
}
"""Claim -> its recipe, and the verdicts that are right."""

TRUE = [
    name
    for name, (_, right) in CLAIMS.items()
    if "contradicted" not in right and name != "alike is better"
]
"""Claims that hold."""


def table(claims: dict[str, tuple[dict[str, Any], tuple[str, ...]]]) -> Table:
    """Every part on both hosts, with some claims about them."""
    rows = [
        {
            "label": f"{host} {part}".strip(),
            "detector": f"{host}-r50",
            "heads": {"both": {"kind": "tower", "depth": 3 + place}},
            "published": {"AP": 40.0 + place},
        }
        for host in HOSTS
        for place, part in enumerate(PARTS)
    ]
    made = [{"says": says, "place": "here", **claim} for says, (claim, _) in claims.items()]
    plain = {
        "id": "made",
        "title": "Made",
        "paper": "own",
        "columns": ["AP", "AP50", "AP75"],
        "schedule": "coco-1x",
        "breaks": ["atss"],
        "rows": rows,
        "claims": made,
    }
    return Table.model_validate_json(json.dumps(plain))


def results(
    root: Path,
    number: int,
    seeds: int = 3,
    images: int = 80,
    claims: dict[str, tuple[dict[str, Any], tuple[str, ...]]] | None = None,
) -> TableResults:
    """The results of one made table, trained ``seeds`` times on scenes of its own."""
    rng = np.random.default_rng((number, seeds, images))
    ground, hard = scenes(rng, images)
    for one in ground["images"]:
        one |= {"file_name": f"{one['id']}.png", "width": 600, "height": 600}
    for one in ground["annotations"]:
        one |= {"area": one["bbox"][2] * one["bbox"][3]}
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "val.json").write_text(json.dumps(ground))
    parts = (root / "val.json", root / "images")
    data = resolve.parse_dataset(":".join(["coco", *map(str, parts * 2)]))
    source = DataSource(data, root)
    made = table(claims or CLAIMS)
    plan = plans.make(made, load.profile("smoke"), tuple(range(seeds)), source=source)
    store = Store(root / "results")
    _fill(store, plan, rng, (ground, hard))
    found = TableResults(plan, store)
    found.bench = Bench(plan, store, found.scores, FEWEST)
    return found


def _fill(store: Store, plan: Plan, rng: np.random.Generator, scene: tuple[Any, Any]) -> None:
    """Every row's trainings, each a little better or worse than its method."""
    for row in plan.rows:
        host, _, part = row.row.label.partition(" ")
        for task in row.train:
            off = HOSTS[host] * PARTS[part] * float(np.exp(rng.normal(0, SPREAD)))
            found = detect(rng, *scene, Made(misplaces=off))
            assert isinstance(task.cell, Cell)
            kept = Measurement(task.digest, task.kind, "AP", 0.4, "fraction", {}, task.cell.seed)
            store.add([kept], found)
