"""Identity of a recipe: a hash of everything in it that determines a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from detbench.recipe.base import DigestOf, Revision, Spec

REVISION = "revision"
"""The key of an option's number of revisions in the JSON that is hashed."""
SCALARS = (str, int, float)


@dataclass(frozen=True)
class _View:
    """What counts.

    Attributes:
        measured: what the digest stands for.
        before: revisions since this day do not; empty is none.
    """

    measured: DigestOf
    before: str = ""


def digest(spec: Spec) -> str:
    """The sha256, in hex, of the canonical JSON of a fully defaulted spec.

    Independent of the order of keys and of what a table names in ``left_out``. An absent
    optional setting (``None``) and an ``added`` one at its default are left out, so that a new one
    does not change old digests; the ``revisions`` of an option are counted. Of files it covers the
    content only once that is settled, see ``data.settle``.
    """
    return _hash(canonical(spec))


def training(spec: Spec) -> str:
    """The digest of what a cell trains, whatever is then evaluated: its ``evaluated`` fields do
    not count, unless its weights are chosen by them. Cells that share it share their weights, as a
    network that is read out four ways.
    """
    view = _View(spec.measures if spec.trains_by_scores else "training")
    return _hash("training:" + _json(_plain(spec, view)))


def canonical(spec: Spec) -> str:
    """The JSON that is hashed: sorted keys, no spaces, defaults written out."""
    return _json(_plain(spec, _View(spec.measures)))


def former(spec: Spec) -> dict[str, str]:
    """The digests that a cell had before its options were revised, each with what was mended since,
    as in ``atss: the first level was left out (2026-11-27)``, several by semicolons.
    """
    return {_hash(text): said for text, said in former_canonical(spec).items()}


def former_canonical(spec: Spec) -> dict[str, str]:
    """As ``former``, of the JSON that was hashed."""
    view = _View(spec.measures)
    found = [(one, each) for one in _specs(spec, view) for each in _revisions(one, view)]
    return {
        _json(_plain(spec, _View(spec.measures, day))): "; ".join(
            dict.fromkeys(_said(one, each) for one, each in found if each.since >= day)
        )
        for day in sorted({each.since for _, each in found})
    }


def _said(spec: Spec, revision: Revision) -> str:
    name = getattr(spec, "kind", type(spec).__name__.lower())
    return f"{name}: {revision.reason} ({revision.since})"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _json(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any, view: _View) -> Any:
    if value is None or isinstance(value, SCALARS):  # most are, and asking for a Spec is slow
        return value
    if isinstance(value, Spec):
        found = {name: _plain(item, view) for name, item in _counted(value, view).items()}
        if count := max(_revisions(value, view).values(), default=0):
            found[REVISION] = count
        return found
    if isinstance(value, dict):
        return {str(name): _plain(item, view) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, view) for item in value]
    return value


def _counted(spec: Spec, view: _View) -> dict[str, Any]:
    """The fields that are hashed, a renamed kind under its oldest name."""
    left_out = spec.left_out | spec.evaluated if view.measured == "training" else spec.left_out
    found = {}
    for name, default, oldest in _fields(type(spec)):
        value = getattr(spec, name)
        if value is None or name in left_out or (name in spec.added and value == default):
            continue
        found[name] = oldest or value
    return found


@cache
def _fields(schema: type[Spec]) -> tuple[tuple[str, Any, str | None], ...]:
    """Each field of a schema with its default, and of a ``kind`` the oldest name."""
    return tuple(
        (
            name,
            field.get_default(call_default_factory=True),
            next(reversed(get_args(field.annotation)), None) if name == "kind" else None,
        )
        for name, field in schema.model_fields.items()
    )


def _specs(value: Any, view: _View) -> Iterator[Spec]:
    """A spec and all below it that are hashed."""
    if isinstance(value, Spec):
        yield value
        value = _counted(value, view)
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (Spec, dict, list, tuple)):
            yield from _specs(item, view)


def _revisions(spec: Spec, view: _View) -> dict[Revision, int]:
    """The revisions that touch an option, with their numbers from 1."""
    measured = {"training", "evaluation"} if view.measured == "evaluation" else {view.measured}
    return {
        one: number
        for number, one in enumerate(spec.revisions, 1)
        if one.measured & measured
        and (not view.before or one.since < view.before)
        and one.touches(spec)
    }
