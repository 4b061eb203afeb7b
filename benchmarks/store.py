"""The commands that read a whole store, on one of many cells: time and peak memory.

    python benchmarks/store.py                          # 10,000 cells
    python benchmarks/store.py --cells 2000 --keep /scratch/made

Cells of the store that comes with the project are copied under other seeds: half of them are one
table's, so that it has hundreds of seeds, the others every table's; one in twenty has a setting
that no table has, one in fifty has failed. All have digests, checksums and recipes as a run would
have given them, and detections (100 of 10 images) that their numbers are bound to.

Each command is a process of its own: its wall time, CPU time of all threads, and peak of resident
memory. ``list`` is asked twice, as it remembers what it looked up. ``--keep`` leaves the files for
another run. Exit code 1 if a command fails or takes more than ``--seconds`` or ``--megabytes``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from detbench.recipe import load
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results import detections as boxes
from detbench.results import inventory, schema
from detbench.results.schema import Measurement
from detbench.runner import plan

ROOT = Path(__file__).parents[1]
GIVEN = ROOT / "results" / "2026-11-28-smoke-two-cores"
TABLE = "tscode-table1"
Template = tuple[list[Measurement], Cell | None]


def templates() -> list[Template]:
    """The cells of the store that is given: rows, and of trainings the recipe."""
    found: list[Template] = []
    for one in inventory.scan(GIVEN).cells:
        assert one.measured is not None
        rows = inventory.rows(one.measured, one)
        recipe = rows[0].provenance["recipe"]
        found.append((rows, Cell.of_plain(recipe) if one.kind == "train-eval" else None))
    return found


def trainings(found: list[Template], count: int) -> Iterator[tuple[list[Measurement], Cell]]:
    """So many trainings, each with the rows that it is made from."""
    made = plan.make(load.table(TABLE), load.profile("smoke"), (0, 1, 2))
    own = {task.digest for row in made.rows for task in row.train}
    trained = [(rows, cell) for rows, cell in found if cell is not None]
    of_table = [one for one in trained if one[0][0].digest in own and one[1].seed == 0]
    for number in range(count):
        group = of_table if number % 2 else trained
        rows, cell = group[number // 2 % len(group)]
        update: dict[str, Any] = {"seed": 10 + number // 2 // len(group) * 3 + cell.seed}
        if number % 20 == 0:
            length = cell.training.model_copy(update={"iterations": 7, "epochs": None})
            update["training"] = length
        yield rows, cell.model_copy(update=update)


def write(cells: Path, rows: list[Measurement], cell: Cell, failed: bool) -> None:
    """One cell's files, as the store writes them but for waiting for the disk."""
    name = digest(cell)
    own = {"recipe": cell.model_dump(mode="json")}
    if failed:
        why = {"metric": "cell", "value": None, "unit": "", "status": "failed"}
        rows = [replace(rows[0], reason="the loss is NaN", **why)]
    rows = [
        replace(row, digest=name, seed=cell.seed, provenance=row.provenance | own) for row in rows
    ]
    path = cells / f"train-eval-{name}"
    if failed:
        path.with_suffix(".failed.parquet").write_bytes(schema.to_bytes(rows))
        return
    drawn = random.Random(name)
    content = boxes.packed([_box(drawn, image) for image in range(10) for _ in range(10)])
    path.with_suffix(".detections.json.gz").write_bytes(content)
    path.with_suffix(".parquet").write_bytes(schema.to_bytes(boxes.bound(rows, content)))


def _box(drawn: random.Random, image: int) -> dict[str, Any]:
    place = [round(drawn.uniform(0, 100), 2) for _ in range(4)]
    return {"image_id": image, "category_id": 1, "bbox": place, "score": drawn.random()}


def make(root: Path, count: int) -> None:
    """A store of so many cells, and in ``second`` one of half of them."""
    cells = root / "results" / "cells"
    cells.mkdir(parents=True)
    found = templates()
    for rows, cell in found:
        if cell is None:
            name = f"cost-{rows[0].digest}.parquet"
            shutil.copy(GIVEN / "cells" / name, cells / name)
    costs = sum(cell is None for _, cell in found)
    for number, (rows, cell) in enumerate(trainings(found, count - costs)):
        write(cells, rows, cell, failed=number % 50 == 9)


def timed(arguments: list[str]) -> dict[str, float]:
    """A command's seconds, megabytes and exit code."""
    command = [sys.executable, "-m", "detbench", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.monotonic()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, env=environment)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "wall_s": round(time.monotonic() - start, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss * 1024 / 1e6),
        "exit": process.returncode,
    }


def commands(root: Path) -> dict[str, list[str]]:
    store, into = (["--results", str(root / name)] for name in ("results", "into"))
    return {
        "list": ["results", "list", *store],
        "list again": ["results", "list", *store],
        f"list {TABLE}": ["results", "list", TABLE, *store],
        "list --format json": ["results", "list", "--format", "json", *store],
        "verify": ["results", "verify", *store],
        "prune": ["results", "prune", *store],
        "merge of all into nothing": ["results", "merge", str(root / "results"), *into],
        "merge of what is there": ["results", "merge", str(root / "results"), *into],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder of the stores; made where it is empty")
    parser.add_argument("--seconds", type=float, default=10.0, help="of CPU time, at most")
    parser.add_argument("--megabytes", type=float, default=1000.0, help="at most")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        root = asked.keep or Path(spare)
        if not (root / "results").exists():
            start = time.monotonic()
            make(root, asked.cells)
            print(f"made in {time.monotonic() - start:.0f} s", file=sys.stderr)
        shutil.rmtree(root / "into", ignore_errors=True)
        shutil.rmtree(root / "results" / "work", ignore_errors=True)
        bad = False
        for name, arguments in commands(root).items():
            found = timed(arguments)
            over = found["cpu_s"] > asked.seconds or found["peak_mb"] > asked.megabytes
            bad |= over or found["exit"] != 0
            print(f"{name}: {json.dumps(found)}{' (over the bound)' if over else ''}", flush=True)
        shutil.rmtree(root / "into", ignore_errors=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
