"""Processes of detbench's own, in Python. No torch."""

from __future__ import annotations

import sys


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a module of detbench's.

    The current folder is not on the path of it (``-P``), so that no file there is taken for one of
    Python's or of a library: a ``random.py`` of the user's stays theirs. What ``kind = "custom"``
    names is looked for there last, see ``assembly.common``.
    """
    return [sys.executable, "-P", "-m", module, *words]
