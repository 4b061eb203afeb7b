"""Digests of the whole catalogue, remembered, because resolving every row takes a second."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from detbench.recipe import embedded, load, resolve
from detbench.recipe.digest import digest

Digests = dict[str, dict[str, list[str]]]


def digests(cache: Path) -> Digests:
    """Table -> profile -> digests of its rows' cells with seed 0, in the table's order.

    Remembered in ``cache`` until a recipe or the recipe code changes. A cache that cannot be read
    or written costs the time of computing, nothing else.
    """
    current = key()
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["key"] == current:
            found: Digests = known["digests"]
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    computed = {name: _of_table(name) for name in load.tables()}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        aside = cache.with_suffix(".new")
        aside.write_text(json.dumps({"key": current, "digests": computed}), encoding="utf-8")
        aside.replace(cache)
    except OSError:
        pass
    return computed


def _of_table(name: str) -> dict[str, list[str]]:
    table = load.table(name)
    return {
        profile: [digest(row.cell) for row in resolve.cells(table, profile) if row.cell is not None]
        for profile in load.profiles()
    }


def key(*more: Path) -> str:
    """Changes with any recipe file, any embedded weights, any file with schemas, and ``more``."""
    here = Path(__file__).parent
    own = [*here.glob("*.py"), *(here.parent / "data").glob("*.py")]
    files = [*load.root().rglob("*.toml"), *embedded.files().values(), *own, *more]
    facts = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(files)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
