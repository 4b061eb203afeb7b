"""Which rows of which tables a stored cell is: the way back from a digest. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detbench.errors import RecipeError
from detbench.recipe import load
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


def names(seeds: Sequence[int], own: Iterable[str] = ()) -> dict[str, list[Name]]:
    """Digest -> where it is from, for every table under every profile; two seconds.

    Args:
        seeds: that may occur.
        own: files of tables beside the catalogue's.

    Raises:
        RecipeError: mistakes in one of ``own``.
    """
    found: dict[str, dict[Name, None]] = {}
    for table in [*dict.fromkeys(own), *load.tables()]:
        for profile in load.profiles():
            try:
                chosen = plan.make(load.table(table), load.profile(profile), seeds or (0,))
            except RecipeError:
                if table.endswith(".toml"):
                    raise
                continue
            for digest, name in _of_plan(chosen):
                found.setdefault(digest, {})[name] = None
    return {digest: list(places) for digest, places in found.items()}


def _of_plan(chosen: plan.Plan) -> Iterable[tuple[str, Name]]:
    for row in chosen.rows:
        for task, seed in zip(row.train, chosen.seeds, strict=False):
            yield task.digest, Name(chosen.table.id, row.row.label, chosen.profile.id, seed)
        if row.cost is not None:
            yield row.cost.digest, Name(chosen.table.id, row.row.label, "", None)
