"""The two bases of every recipe schema: a strict, frozen table and a per-task pair."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator


class Spec(BaseModel):
    """A table of a recipe: unknown keys are errors, values keep their type, nothing changes later.

    ``undigested`` names the fields that cannot change a result and so are no part of its identity;
    ``evaluated`` those that only evaluation reads, so that what is trained does not depend on them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    undigested: ClassVar[frozenset[str]] = frozenset()
    evaluated: ClassVar[frozenset[str]] = frozenset()


class Custom(Spec):
    """A module of the user's own, by import path.

    Attributes:
        target: ``package.module:Class``. The class is called with ``arguments`` and what
            ``build.py`` passes to every option of that stage.
    """

    kind: Literal["custom"]
    target: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, Any] = {}


T = TypeVar("T")


class PerTaskSpec(Spec, Generic[T]):
    """``both`` (one object, shared parameters) or ``cls`` and ``loc`` (two, even if equal)."""

    both: T | None = None
    cls: T | None = None
    loc: T | None = None

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        given = {task for task in ("both", "cls", "loc") if getattr(self, task) is not None}
        if given not in ({"both"}, {"cls", "loc"}):
            raise ValueError("give either 'both', or 'cls' and 'loc'")
        return self

    @model_serializer(mode="wrap")
    def _drop_absent(self, handler: Any) -> dict[str, Any]:
        return {task: value for task, value in handler(self).items() if value is not None}

    @property
    def shared(self) -> bool:
        return self.both is not None

    def of(self, task: Literal["cls", "loc"]) -> T:
        """The setting that ``task`` uses."""
        value = self.both if self.both is not None else getattr(self, task)
        assert value is not None
        return value
