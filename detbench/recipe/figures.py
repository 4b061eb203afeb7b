"""The catalogue of the papers' figures: ``recipes/figures.toml``. No torch."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Self

from pydantic import Field, model_validator

from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.recipe.base import Spec
from detbench.recipe.validate import parse


class Made(Spec):
    """One analysis of a figure.

    Attributes:
        kind: of ``detbench.analysis.kinds``.
        rows: as ``detbench analyze`` takes them, the baseline first.
        options: settings of the kind.
    """

    kind: str
    rows: tuple[str, ...]
    options: dict[str, float] = Field(default_factory=dict)


class Figure(Spec):
    """A figure.

    Attributes:
        statement: what the paper says of it.
        analyses: what it is made by; or it is ``table``, a table of the catalogue; or a
            ``drawing``, of what.
        pictures: what draws its images.
    """

    id: str
    title: str
    statement: str = ""
    analyses: tuple[Made, ...] = ()
    table: str = ""
    drawing: str = ""
    pictures: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.analyses, self.table, self.drawing))) != 1:
            raise ValueError("give one of 'analyses', 'table' and 'drawing'")
        if self.analyses and not self.statement:
            raise ValueError("say in 'statement' what the paper states")
        return self

    @property
    def paper(self) -> str:
        return self.id.rpartition("-figure")[0]

    @property
    def tables(self) -> dict[str, list[str]]:
        """Table -> the rows of it that are analysed, each once."""
        found: dict[str, list[str]] = {}
        for row in dict.fromkeys(row for one in self.analyses for row in one.rows):
            table, _, label = row.partition(":")
            found.setdefault(table, []).append(label)
        return found


class Catalogue(Spec):
    figures: tuple[Figure, ...]


@cache
def figures() -> dict[str, Figure]:
    """Every figure by its id, in the papers' order.

    Raises:
        RecipeError: the catalogue has mistakes.
    """
    path = load.root() / "figures.toml"
    parsed, mistakes = parse(Catalogue, tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    if parsed is None or mistakes:
        raise RecipeError(mistakes)
    return {one.id: one for one in parsed.figures}


def analysed(name: str) -> Figure | None:
    """The figure of a name, if it is made by analyses or a drawing; tables are found as tables."""
    found = figures().get(name)
    return None if found is None or found.table else found
