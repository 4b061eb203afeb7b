"""What is stored of a table under other profiles, which its numbers are never mixed with."""

from __future__ import annotations

from collections.abc import Mapping

from detbench.recipe import catalogue, load
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan


def counts(plan: Plan, store: Store) -> dict[str, int]:
    """Profile -> how many of the table's cells are stored under it, for those with any.

    The plan's own profile is left out, and cells that the plan has too. Profiles are taken as they
    are, without the plan's changes, with seed 0.
    """
    stored = store.listing()
    own = {task.digest for task in plan.tasks}
    if not any(digest not in own for digest in stored):
        return {}
    found = {
        profile: sum(digest in stored and digest not in own for digest in set(digests))
        for profile, digests in _digests(plan, store).items()
        if profile != plan.profile.id
    }
    return {profile: count for profile, count in found.items() if count}


def _digests(plan: Plan, store: Store) -> dict[str, list[str]]:
    """Profile -> digests of the table's rows; from memory if it is one of the catalogue's."""
    name = plan.table.id
    if name in load.tables():
        return catalogue.digests(store.root / "work" / "catalogue.json")[name]
    found = {}
    for profile in load.profiles():
        rows = plans.make(
            plan.table, load.profile(profile), source=plans.DataSource(root=plan.data_root)
        ).rows
        found[profile] = [task.digest for row in rows for task in row.train]
    return found


def sentence(found: Mapping[str, int]) -> str | None:
    """A note that names what is not shown, given ``counts``; None where there is nothing."""
    if not found:
        return None
    listed = ", ".join(
        f"{count} cell{'s' if count > 1 else ''} with profile {name}"
        for name, count in found.items()
    )
    return f"Also stored, and not shown: {listed}. Profiles are never mixed in a table."
