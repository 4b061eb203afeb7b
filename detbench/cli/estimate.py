"""How long a table will take: from cells of the same kind in the store, else in iterations."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detbench.recipe import describe
from detbench.recipe.digest import digest, training
from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import METRICS, Metric
from detbench.recipe.resolve import cells
from detbench.recipe.table import Profile, Table
from detbench.results.store import Store, Stored

LOOKED_AT = 40
"""No more stored cells than this are opened for an estimate."""


def table(table: Table, profile: Profile, results: Path) -> str:
    """The trainings of a table under a profile, and the time that is still to be spent."""
    settled = (row.settled(None).cell for row in cells(table, profile))
    found = [cell for cell in settled if cell is not None]
    if not found:
        return "no row is trained"
    store = Store(results)
    done = store.done()
    # Rows that read out one training in several ways need it once.
    runs = {training(cell): cell for cell in found}
    missing = {training(cell): cell for cell in found if digest(cell) not in done}
    work = sorted({describe.training(cell.training).split(";")[0] for cell in runs.values()})
    counted = f"{len(runs)} trainings of {', '.join(work)}, {len(runs) - len(missing)} done"
    if not missing:
        return counted
    spent = seconds(store, next(iter(missing.values())), done)
    return f"{counted}; {remaining(len(missing), spent)}"


def below(results: Path) -> list[Path]:
    """Stores that are folders of the results folder, as those that come with the project."""
    return sorted(one.parent for one in results.glob("*/cells") if one.is_dir())


def measured(table: Table, profile: Profile, stores: Iterable[Path]) -> list[str]:
    """For each store with the table's trainings of seed 0: which scores they reached, and how long
    they took.
    """
    settled = [row.settled(None).cell for row in cells(table, profile)]
    digests = dict.fromkeys(digest(cell) for cell in settled if cell is not None)
    scores = [METRICS[name] for name in table.columns if METRICS[name].unit == "fraction"]
    return [
        f"{_reached(scores[0], found)} of {len(digests)} trainings, in {root}"
        for root in (stores if scores else ())
        if (found := [one for name in digests if (one := Store(root).get(name)) and one.rows])
        and any(one.value(scores[0].key) is not None for one in found)
    ]


def _reached(metric: Metric, found: list[Stored]) -> str:
    """``AP 36.4 to 38.2, 4 min each (median), of seed 0, 12``."""
    values = [100 * value for one in found if (value := one.value(metric.key)) is not None]
    spent = [took for one in found if (took := _took(one.rows[0].provenance)) is not None]
    each = f", {words(statistics.median(spent))} each (median)" if spent else ""
    ends = dict.fromkeys(f"{one:.1f}" for one in (min(values), max(values)))
    return f"{metric.title} {' to '.join(ends)}{each}, seed 0, {len(values)}"


def remaining(count: int, spent: list[float]) -> str:
    """The time ``count`` cells take, given the times of some like them."""
    if not spent:
        return "time unknown: nothing like it has been run here"
    middle = statistics.median(spent)
    return f"about {words(count * middle)} to go, at {words(middle)} each one at a time"


def seconds(store: Store, cell: Cell, done: set[str]) -> list[float]:
    """How long stored cells with the same data and training took, whatever their detector."""
    found: list[float] = []
    for name in sorted(done)[:LOOKED_AT]:
        stored = store.get(name)
        origin = stored.rows[0].provenance if stored else {}
        past = origin.get("recipe") or {} if origin.get("trained", True) else {}
        if not _alike(past, cell):
            continue
        if (took := _took(origin)) is not None:
            found.append(took)
    return found


def _took(origin: Mapping[str, Any]) -> float | None:
    """Seconds of wall time, of a cell's provenance; None where it does not say."""
    started, ended = origin.get("started"), origin.get("ended")
    if not started or not ended:
        return None
    begin, end = (datetime.fromisoformat(at).astimezone() for at in (started, ended))
    return (end - begin).total_seconds()


def _alike(past: dict[str, Any], cell: Cell) -> bool:
    """Whether a stored recipe has the cell's data and training, whatever weights it started from
    and releases added since.
    """
    try:
        other = Cell.of_plain(past)
    except ValidationError:  # of another release
        return False
    start = {name: getattr(cell.training, name) for name in ("weights", "weights_content")}
    same = other.training.model_copy(update=start)
    return other.data == cell.data and same == cell.training


def iterations(cell: Cell) -> int | None:
    """Training steps of a cell, where its data set's size is known without reading it."""
    if cell.training.iterations is not None:
        return cell.training.iterations
    count = cell.data.count("train")
    if count is not None and cell.training.epochs is not None:
        return round(cell.training.epochs * count / cell.training.batch)
    return None


def words(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
