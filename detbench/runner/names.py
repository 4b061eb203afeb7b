"""Which rows of which tables a stored cell is: the way back from a digest. No torch.

Cells of one row under one profile differ in their seed alone, so a row is remembered as the text
before and after the seed in what is hashed, and its cells of any seed are found by hashing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from detbench.recipe import catalogue, load
from detbench.recipe.base import Spec
from detbench.recipe.digest import canonical
from detbench.recipe.digest import digest as identity
from detbench.recipe.experiment import Cell
from detbench.recipe.table import Table
from detbench.results import cache
from detbench.runner import job, plan

SEED = ',"seed":{},"training":'
"""A cell's seed in what is hashed, between its neighbours."""


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


@dataclass(frozen=True)
class Place:
    """A row under a profile, and what its cells' digests are hashes of.

    Attributes:
        before, after: the text around the seed; of a count, its digest and nothing.
        recipe: ``recipe_hash`` of its cells; empty of a count.
    """

    table: str
    row: str
    profile: str
    before: str
    after: str
    recipe: str


@dataclass(frozen=True)
class Kin:
    """What is known of cells that are in no table and whose recipes differ in their seed alone.

    Attributes:
        near: the row of the same detector that they are but for some settings.
        again: the row that the recipe is, where it was measured before something was mended; its
            seed is the cell's.
        former: what its digests were hashes of before its options were revised, before and after
            the seed, and what was mended since.
    """

    near: Near | None = None
    again: Name | None = None
    former: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Kin:
        """The inverse of ``asdict``, by way of JSON."""
        near, again = plain["near"], plain["again"]
        return cls(
            near and Near(Name(**near["name"]), tuple(near["differs"])),
            again and Name(**again),
            tuple((before, after, said) for before, after, said in plain["former"]),
        )

    def of(self, digest: str, seed: int | None) -> tuple[Near | None, str]:
        """The nearest row of one of the cells, and what was mended since it was measured."""
        mended = next(
            (
                said
                for before, after, said in self.former
                if digest == (hashed(before, after, seed or 0) if after else before)
            ),
            "",
        )
        if not mended:
            return self.near, ""
        near = self.near
        if self.again is not None:
            near = Near(replace(self.again, seed=None if self.again.seed is None else seed), ())
        said = f"what was mended since: {mended}"
        return near and replace(near, differs=(*near.differs, said)), mended


def hashed(before: str, after: str, seed: int) -> str:
    """A cell's digest, of the text around its seed."""
    return hashlib.sha256((before + SEED.format(seed) + after).encode()).hexdigest()


def recipe_hash(plain: Mapping[str, Any] | None) -> str:
    """A hash of a recipe, as plain data, but for its seed; empty of none."""
    text = json.dumps({**plain, "seed": None}, sort_keys=True) if plain else ""
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else ""


Wanted = tuple[str, int, str]
"""Digest of a stored cell, its seed, and ``recipe_hash`` of the recipe in its file."""


class Names:
    """Every cell of every table under every profile.

    Args:
        cells: that may be asked for.
        own: files of tables beside the catalogue's.
        memory: file that remembers the catalogue until a recipe or the code changes.

    Raises:
        RecipeError: mistakes in one of ``own``.
    """

    def __init__(
        self,
        cells: Iterable[Wanted],
        own: Iterable[str] = (),
        memory: Path | None = None,
    ) -> None:
        self._memory = memory
        self._changed = False
        self._near: dict[str, Kin] = {}
        self._own = [*map(load.table, dict.fromkeys(own))]
        self._known = self._remembered()
        own_places = [place for chosen in _plans(self._own) for place in _of_plan(chosen)]
        self._all = [*own_places, *(Place(*one) for one in self._known["places"])]
        self._same: dict[tuple[str, str], list[int]] = {}
        for index, place in enumerate(self._all):
            self._same.setdefault((place.before, place.after), []).append(index)
        self.places = self._find(cells)
        self.order = {digest: index for index, digest in enumerate(self.places)}

    def of(self, cell: Spec, seed: int) -> list[Name]:
        """The names of a cell, in the order of tables and rows."""
        text = canonical(cell)
        parts = text.split(SEED.format(seed))
        key = (parts[0], parts[1]) if len(parts) == 2 else (identity(cell), "")
        return [self._name(index, seed) for index in self._same.get(key, ())]

    def _find(self, cells: Iterable[Wanted]) -> dict[str, list[Name]]:
        """The names of digests, in the order of tables, rows and seeds; none of one without.

        A cell's recipe says which row it may be of; only where it names none, as that of another
        detbench may, its digest is looked for among those of all rows.
        """
        recipes: dict[str, tuple[str, str]] = {}
        for place in self._all:
            recipes.setdefault(place.recipe, (place.before, place.after))
        found: list[tuple[int, int, str]] = []
        rest: dict[str, int] = {}
        for digest, seed, recipe in cells:
            key = recipes.get(recipe) if recipe else None
            if key is not None and digest == hashed(*key, seed):
                found += [(index, seed, digest) for index in self._same[key]]
            else:
                rest[digest] = seed
        found += self._searched(rest)
        names: dict[str, list[Name]] = {}
        for index, seed, digest in sorted(found):
            known, name = names.setdefault(digest, []), self._name(index, seed)
            if name not in known:
                known.append(name)
        return names

    def _searched(self, wanted: Mapping[str, int]) -> Iterator[tuple[int, int, str]]:
        """Places, seeds and digests of cells whose seeds are known, by hashing every place."""
        seeds = sorted(set(wanted.values()))
        for (before, after), indices in self._same.items():
            if not after:
                yield from ((index, 0, before) for index in indices if before in wanted)
                continue
            head = hashlib.sha256(before.encode())
            for seed in seeds:
                whole = head.copy()
                whole.update((SEED.format(seed) + after).encode())
                if (digest := whole.hexdigest()) in wanted:
                    yield from ((index, seed, digest) for index in indices)

    def _name(self, index: int, seed: int) -> Name:
        place = self._all[index]
        return Name(place.table, place.row, place.profile, seed if place.after else None)

    def near(self, cell: Cell) -> Near | None:
        """The row of the same detector that differs in the fewest settings; none if none has it."""
        found: list[Near] = []
        for name, other in self._detectors.get(identity(cell.detector), ()):
            differs = tuple(plan.departures(cell, other))
            if not any(one.differs == differs for one in found):
                found.append(Near(name, differs))
        return min(found, key=lambda one: len(one.differs), default=None)

    def remembered(self, recipe: str, compute: Callable[[], Kin]) -> Kin:
        """``compute()``, which is remembered for a recipe but for its seed, by its hash, as long as
        the catalogue is; not with tables beside it.
        """
        known = {} if self._own else self._known.setdefault("near", {})
        found = self._near.get(recipe)
        if found is None:
            if recipe in known:
                found = Kin.of_plain(known[recipe])
            else:
                found = compute()
                known[recipe] = asdict(found)
                self._changed = True
            self._near[recipe] = found
        return found

    def save(self) -> None:
        """Keep what was found for next time."""
        if self._memory and self._changed:
            cache.write(self._memory, self._known)
        self._changed = False

    @cached_property
    def _catalogue(self) -> list[plan.Plan]:
        return list(_plans(map(load.table, load.tables())))

    @cached_property
    def _detectors(self) -> dict[str, list[tuple[Name, Cell]]]:
        """The first seed's cells by their detector."""
        found: dict[str, list[tuple[Name, Cell]]] = {}
        for chosen in chain(_plans(self._own), self._catalogue):
            for row in chosen.rows:
                cell = row.train[0].cell if row.train else None
                if isinstance(cell, Cell):
                    name = Name(chosen.table.id, row.row.label, chosen.profile.id, None)
                    found.setdefault(identity(cell.detector), []).append((name, cell))
        return found

    def _remembered(self) -> dict[str, Any]:
        """The catalogue's places, from memory unless something changed."""
        key = catalogue.key(Path(__file__), Path(plan.__file__), Path(job.__file__))
        known = cache.read(self._memory) if self._memory else None
        if isinstance(known, dict) and known.get("key") == key:
            return known
        places = [place for chosen in self._catalogue for place in _of_plan(chosen)]
        self._changed = True
        return {"key": key, "places": [list(vars(place).values()) for place in places]}


def _plans(tables: Iterable[Table]) -> Iterator[plan.Plan]:
    profiles = [load.profile(name) for name in load.profiles()]
    for table in tables:
        for profile in profiles:
            yield plan.make(table, profile, (0,))


def _of_plan(chosen: plan.Plan) -> Iterator[Place]:
    table = chosen.table.id
    for row in chosen.rows:
        for task in row.train:
            text = canonical(task.cell)
            before, after = text.split(SEED.format(0))
            recipe = recipe_hash(task.cell.model_dump(mode="json"))
            yield Place(table, row.row.label, chosen.profile.id, before, after, recipe)
        if row.cost is not None:
            yield Place(table, row.row.label, "", row.cost.digest, "", "")
