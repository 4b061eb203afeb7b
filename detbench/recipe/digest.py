"""Identity of a recipe: a hash of everything in it that determines a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from detbench.recipe.base import Spec


def digest(spec: Spec) -> str:
    """The sha256, in hex, of the canonical JSON of a fully defaulted spec.

    Independent of the order of keys and of what a class lists in ``undigested``. An absent
    optional setting (``None``) is left out, so that a new one does not change old digests.
    """
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def canonical(spec: Spec) -> str:
    """The JSON that is hashed: sorted keys, no spaces, defaults written out."""
    return json.dumps(_plain(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {
            name: _plain(item)
            for name, item in fields.items()
            if item is not None and name not in value.undigested
        }
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
