"""Where cells run: on this machine, or on the nodes of a Ray cluster.

A launcher starts a cell's process, passes on what it sends, and stops it; what a number is and
whether a cell is done is decided elsewhere, from the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detbench.runner.launchers.launcher import Launcher
from detbench.runner.options import Options


@contextmanager
def opened(options: Options, root: Path) -> Iterator[Launcher]:
    """The launcher that ``options`` name.

    Args:
        root: of the store.

    Raises:
        DeviceError: there is no such cluster, or none of its nodes has what a cell asks for.
    """
    if options.launcher == "ray":
        from detbench.runner.launchers.ray import cluster

        with cluster(options, root) as launcher:
            yield launcher
        return
    from detbench.runner.launchers.local import Local

    yield Local(options)
