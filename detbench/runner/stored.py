"""The cells of a store with what is known of each: for ``detbench results list``. No torch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detbench.errors import StoreError
from detbench.recipe import catalogue, load
from detbench.recipe.digest import former_canonical
from detbench.recipe.experiment import Cell
from detbench.results import cache, inventory, schema
from detbench.results.files import reading
from detbench.results.inventory import CellFiles
from detbench.results.schema import Damaged, Kind, Measurement
from detbench.runner import names
from detbench.runner.job import CostCell
from detbench.runner.names import SEED, Kin, Name, Names, Near, recipe_hash

OF_FILE = ("seed", "status", "reason", "ap", "gflops", "ended", "device", "recipe", "ms", "timed")
"""What ``Listed`` has of a cell's file, which is remembered in ``work/listed.json``."""
SETTLED_NS = 2 * 10**9
"""What changed a moment ago may change again within one tick of its file system's clock."""


@dataclass(frozen=True)
class Listed:
    """One stored cell.

    Attributes:
        names: its places in the tables; empty for one that is not in them.
        near: of such a one, the row that it is but for some settings, or for what was mended since;
            none if there is none.
        mended: what was, see ``recipe.base.Revision``: so it is left out of that row.
        status: ``done``, ``failed``, ``skipped``; ``damaged`` if its file cannot be read.
        reason: of a failure or damage.
        ap, gflops, ms: a fraction, a count, and median milliseconds a batch; none where it has
            none.
        ended: when, in UTC, to the minute; empty if unknown.
        device: what it was measured on.
        recipe: a hash of its recipe but for the seed; empty if it has none.
        timed: table, row and profile that a latency was asked of; empty of all else.
    """

    digest: str
    kind: Kind
    names: tuple[Name, ...]
    seed: int | None
    status: str
    reason: str
    ap: float | None
    gflops: float | None
    ended: str
    device: str
    path: str
    near: Near | None = None
    mended: str = ""
    recipe: str = ""
    ms: float | None = None
    timed: Sequence[str] = ()


def cells(root: Path, tables: Sequence[str] = ()) -> list[Listed]:
    """Every cell of a store, in the catalogue's order, those without a place last.

    Args:
        tables: names are looked for in these alone: ids, or files of the user's own.

    Raises:
        RecipeError: a table does not exist or has mistakes.
        StoreError: there is no store, or it cannot be read.
    """
    own = [name for name in tables if name.endswith(".toml")]
    wanted = {load.table(name).id for name in tables}
    found = inventory.scan(inventory.existing(root)).cells
    listed = _every(root, [cell for cell in found if cell.measured])
    if not listed:
        return []
    asked = [(one.digest, one.seed or 0, one.recipe) for one in listed]
    known = Names(asked, own, root / "work" / "names.json")
    listed = [_named(one, known, wanted) for one in listed]
    known.save()
    order = known.order
    last = len(order)
    return sorted(listed, key=lambda one: (not one.names, order.get(one.digest, last), one.digest))


def _every(root: Path, found: Sequence[CellFiles]) -> list[Listed]:
    """Each cell by its file, which is read if it is new or changed since it was last listed."""
    code = (schema.__file__, inventory.__file__, str(names.__file__), __file__)
    key = catalogue.key(*map(Path, code))
    memory = root / "work" / "listed.json"
    kept = cache.read(memory)
    known = kept["cells"] if isinstance(kept, dict) and kept.get("key") == key else {}
    facts = {cell.digest: _facts(cell) for cell in found}
    new = [cell for cell in found if known.get(cell.digest, (None,))[0] != facts[cell.digest]]
    read = {one.digest: one for one in inventory.each(_listed, new)}
    settled = time.time_ns() - SETTLED_NS
    for one in read.values():
        known.pop(one.digest, None)
        if one.status != "damaged" and int(facts[one.digest][-1]) < settled:
            known[one.digest] = [facts[one.digest], *(getattr(one, name) for name in OF_FILE)]
    gone = known.keys() - facts.keys()
    if read or gone:
        kept = {name: known[name] for name in known if name not in gone}
        cache.write(memory, {"key": key, "cells": kept})
    return [read.get(cell.digest) or _again(cell, known[cell.digest]) for cell in found]


def _facts(cell: CellFiles) -> list[int | str]:
    """What changes when a cell's files do; their latest change last."""
    facts: list[int | str] = []
    latest = 0
    for path in (cell.done, cell.failed):
        if path is not None:
            with reading(path):
                found = path.stat()
            facts += [path.name, found.st_size, found.st_ino]
            latest = max(latest, found.st_mtime_ns)
    return [*facts, latest]


def _again(cell: CellFiles, kept: list[Any]) -> Listed:
    """A cell as it was read before."""
    values = dict(zip(OF_FILE, kept[1:], strict=True))
    values["timed"] = tuple(values["timed"])
    return Listed(cell.digest, cell.kind, (), path=str(cell.measured), **values)


def plain(cell: Listed) -> dict[str, Any]:
    """A cell for json."""
    return {name: value for name, value in asdict(cell).items() if name not in ("recipe", "timed")}


def _rows(cell: CellFiles) -> tuple[list[Measurement], str]:
    """A cell's rows, or none and why."""
    for path in (cell.done, cell.failed):
        if path is None:
            continue
        try:
            return inventory.rows(path, cell), ""
        except Damaged as error:
            said = f"damaged: {error}"
        except StoreError as error:
            said = str(error)
    return [], said


def _listed(cell: CellFiles) -> Listed:
    """A cell by its file alone; its rows are not kept, of which ten thousand fill the memory."""
    rows, damage = _rows(cell)
    first = rows[0] if rows else None
    origin = first.provenance if first else {}
    values = {row.metric: row.value for row in rows}
    return Listed(
        digest=cell.digest,
        kind=cell.kind,
        names=(),
        seed=first.seed if first else None,
        status=first.status if first else "damaged",
        reason=damage or (first.reason if first and first.status != "done" else ""),
        ap=values.get("AP"),
        gflops=values.get("gflops"),
        ended=str(origin.get("ended", ""))[:16].replace("T", " "),
        device=str(origin.get("device", "")),
        path=str(cell.measured),
        recipe=recipe_hash(origin.get("recipe")),
        ms=values.get("total_ms"),
        timed=_timed(origin) if cell.kind == "latency" else (),
    )


def _timed(origin: dict[str, Any]) -> tuple[str, ...]:
    """Table, row and profile that a latency was asked of, as its file says; none of a detector."""
    table, row, profile = (origin.get(one) for one in ("table", "row", "profile"))
    return (str(table), str(row), str(profile or "")) if table else ()


def _named(one: Listed, known: Names, wanted: set[str]) -> Listed:
    """A cell with its places, or what it is near to."""
    if one.kind == "latency":
        asked = one.timed and (not wanted or one.timed[0] in wanted)
        table, row, profile = one.timed or ("", "", "")
        return replace(one, names=(Name(table, row, profile, None),) if asked else ())
    if places := known.places.get(one.digest):
        return replace(
            one, names=tuple(name for name in places if not wanted or name.table in wanted)
        )
    if not one.recipe:
        return one
    kin = known.remembered(f"{one.kind}-{one.recipe}", lambda: _kin(known, one))
    near, mended = kin.of(one.digest, one.seed)
    return replace(one, near=near, mended=mended)


def _kin(known: Names, cell: Listed) -> Kin:
    """What is known of a cell that is in no table, by its recipe."""
    kind = Cell if cell.kind == "train-eval" else CostCell
    rows, _ = _rows(inventory.cell(Path(cell.path).parent.parent, cell.kind, cell.digest))
    try:
        recipe = kind.of_plain(rows[0].provenance.get("recipe") if rows else None)
    except ValidationError:  # of another detbench
        return Kin()
    seed = recipe.seed if isinstance(recipe, Cell) else 0
    places = known.of(recipe, seed)
    near = known.near(recipe) if isinstance(recipe, Cell) else None
    former = tuple(
        (*_around(text, seed, isinstance(recipe, Cell)), said)
        for text, said in former_canonical(recipe).items()
    )
    return Kin(near, places[0] if places else None, former)


def _around(text: str, seed: int, trained: bool) -> tuple[str, str]:
    """What is hashed before and after the seed; of a count, its digest and nothing."""
    if not trained:
        return hashlib.sha256(text.encode()).hexdigest(), ""
    before, _, after = text.partition(SEED.format(seed))
    return before, after
