"""Which rows of which tables a stored cell is: the way back from a digest. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from detbench.recipe import load
from detbench.recipe.digest import digest as identity
from detbench.recipe.experiment import Cell
from detbench.runner import plan


@dataclass(frozen=True)
class Name:
    """A place in the catalogue; several tables may share one cell.

    Attributes:
        profile: empty for a count, which is the same in all.
        seed: none for a count.
    """

    table: str
    row: str
    profile: str
    seed: int | None


@dataclass(frozen=True)
class Near:
    """The row that a cell is but for some settings.

    Attributes:
        differs: their key paths, two deep.
    """

    name: Name
    differs: tuple[str, ...]


class Names:
    """Every cell of every table under every profile; a second.

    Args:
        seeds: that may occur.
        own: files of tables beside the catalogue's.

    Raises:
        RecipeError: mistakes in one of ``own``.
    """

    def __init__(self, seeds: Sequence[int], own: Iterable[str] = ()) -> None:
        self.places: dict[str, list[Name]] = {}
        self._plans: list[plan.Plan] = []
        for table in map(load.table, [*dict.fromkeys(own), *load.tables()]):
            for profile in map(load.profile, load.profiles()):
                chosen = plan.make(table, profile, seeds or (0,))
                self._plans.append(chosen)
                for digest, name in _of_plan(chosen):
                    known = self.places.setdefault(digest, [])
                    if name not in known:
                        known.append(name)

    def near(self, cell: Cell) -> Near | None:
        """The row of the same detector that differs in the fewest settings; none if none has it."""
        found: list[Near] = []
        for name, other in self._detectors.get(identity(cell.detector), ()):
            differs = tuple(plan.departures(cell, other))
            if not any(one.differs == differs for one in found):
                found.append(Near(name, differs))
        return min(found, key=lambda one: len(one.differs), default=None)

    @cached_property
    def _detectors(self) -> dict[str, list[tuple[Name, Cell]]]:
        """The first seed's cells by their detector."""
        found: dict[str, list[tuple[Name, Cell]]] = {}
        for chosen in self._plans:
            for row in chosen.rows:
                cell = row.train[0].cell if row.train else None
                if isinstance(cell, Cell):
                    name = Name(chosen.table.id, row.row.label, chosen.profile.id, None)
                    found.setdefault(identity(cell.detector), []).append((name, cell))
        return found


def _of_plan(chosen: plan.Plan) -> Iterable[tuple[str, Name]]:
    for row in chosen.rows:
        for task, seed in zip(row.train, chosen.seeds, strict=False):
            yield task.digest, Name(chosen.table.id, row.row.label, chosen.profile.id, seed)
        if row.cost is not None:
            yield row.cost.digest, Name(chosen.table.id, row.row.label, "", None)
