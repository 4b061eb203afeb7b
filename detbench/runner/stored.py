"""The cells of a store with what is known of each: for ``detbench results list``. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detbench.errors import StoreError
from detbench.recipe import load
from detbench.recipe.digest import digest, former
from detbench.recipe.experiment import Cell
from detbench.results import inventory
from detbench.results.inventory import CellFiles
from detbench.results.schema import Damaged, Kind, Measurement
from detbench.runner.job import CostCell
from detbench.runner.names import Name, Names, Near


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
        ap, gflops: a fraction, and a count; none where it has none.
        ended: when, in UTC, to the minute; empty if unknown.
        device: what it was measured on.
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
    listed = list(inventory.each(_listed, (cell for cell in found if cell.measured)))
    if not listed:
        return []
    seeds = sorted({one.seed or 0 for one in listed})
    digests = [one.digest for one in listed]
    known = Names(digests, seeds, own, root / "work" / "names.json")
    listed = [_named(one, known, wanted) for one in listed]
    known.save()
    order = known.order
    return sorted(listed, key=lambda one: (not one.names, order.get(one.digest, 0), one.digest))


def plain(cell: Listed) -> dict[str, Any]:
    """A cell for json."""
    return asdict(cell)


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
    )


def _named(one: Listed, known: Names, wanted: set[str]) -> Listed:
    """A cell with its places, or what it is near to."""
    if places := known.places.get(one.digest):
        return replace(
            one, names=tuple(name for name in places if not wanted or name.table in wanted)
        )
    path = Path(one.path)
    about = [path.name, path.stat().st_size, path.stat().st_mtime_ns]
    near, mended = known.remembered(about, lambda: _near(known, one))
    return replace(one, near=near, mended=mended)


def _near(known: Names, cell: Listed) -> tuple[Near | None, str]:
    """The row that is nearest to a cell which is in no table, by its recipe, and what was mended
    since it was measured.
    """
    kind = Cell if cell.kind == "train-eval" else CostCell
    rows, _ = _rows(inventory.cell(Path(cell.path).parent.parent, cell.kind, cell.digest))
    try:
        recipe = kind.of_plain(rows[0].provenance.get("recipe") if rows else None)
    except ValidationError:  # of a failed cell, which has none, or of another detbench
        return None, ""
    mended = former(recipe).get(cell.digest, "")
    near = known.near(recipe) if isinstance(recipe, Cell) else None
    if mended:
        again = digest(recipe)
        places = known.find({again}, (recipe.seed if isinstance(recipe, Cell) else 0,))
        near = Near(places[again][0], ()) if again in places else near
    if mended and near:
        near = replace(near, differs=(*near.differs, f"what was mended since: {mended}"))
    return near, mended
