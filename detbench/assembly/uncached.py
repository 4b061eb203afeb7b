"""Imports of a user's own modules from their source, never from bytecode of before.

Python takes a file of bytecode for that of a source with the same size and the same second of
change, which two sources may have (copied with their times, changed twice in a second). A cell's
digest is of the source, so what runs must be too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from detbench.recipe import source


class _FromSource(SourceFileLoader):
    def path_stats(self, path: Any) -> Any:
        """Without these Python neither looks for bytecode nor writes any."""
        raise OSError


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        where = spec.loader.path
        if source.is_installed(Path(where)):
            return None
        spec.loader = _FromSource(name, where)
        return spec


_FINDER = _Finder()


def install() -> None:
    """Have what is imported from now on be read so, in this process; once is enough."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
