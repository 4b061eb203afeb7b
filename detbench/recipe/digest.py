"""Identity of a recipe: a hash of everything in it that determines a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from detbench.recipe.base import Spec


def digest(spec: Spec) -> str:
    """The sha256, in hex, of the canonical JSON of a fully defaulted spec.

    Independent of the order of keys and of what a table names in ``left_out``. An absent
    optional setting (``None``) is left out, so that a new one does not change old digests. Of data
    sets on disk it covers the content of the annotations only once that is settled, see
    ``data.kind``.
    """
    return _hash(canonical(spec))


def training(spec: Spec) -> str:
    """The digest of what a cell trains, whatever is then evaluated: its ``evaluated`` fields do
    not count. Cells that share it share their weights, as a network that is read out four ways.
    """
    return _hash("training:" + _json(_plain(spec, evaluated=False)))


def canonical(spec: Spec) -> str:
    """The JSON that is hashed: sorted keys, no spaces, defaults written out."""
    return _json(_plain(spec))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _json(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any, evaluated: bool = True) -> Any:
    if isinstance(value, Spec):
        left_out = value.left_out if evaluated else value.left_out | value.evaluated
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {
            name: _plain(item, evaluated)
            for name, item in fields.items()
            if item is not None and name not in left_out
        }
    if isinstance(value, dict):
        return {str(name): _plain(item, evaluated) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, evaluated) for item in value]
    return value
