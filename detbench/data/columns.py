"""Columns of numbers that were read from large files, kept as Arrow, a file each. No torch.

They are mapped into memory, so that processes share them and what is not touched is not read. Their
folder is ``$XDG_STATE_HOME/detbench/columns`` (``~/.local/state`` by default), its names the place
that they are about and the key of what they were made from: those of anything else are not found.
Where it cannot be written, they stay in memory and are made anew each time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detbench import temporary

Columns = dict[str, NDArray[Any]]
N = TypeVar("N", bound=np.integer)
_SUFFIX = ".arrow"


def find(place: str, key: str) -> Columns | None:
    """The columns of ``keep``, read-only; none where there are none, or a file is cut short."""
    import pyarrow as pa

    folder = _folder(place) / key
    with suppress(OSError, RuntimeError, pa.ArrowException):
        files = sorted(folder.glob(f"*{_SUFFIX}"))
        return {file.stem: _mapped(file) for file in files} or None
    return None


def keep(place: str, key: str, columns: Iterable[tuple[str, NDArray[Any]]]) -> Columns:
    """Write columns one by one, and return them as ``find`` does; others of the place go.

    Args:
        place: what they are about, as a path.
        key: of what they are made from: hexadecimal digits.
        columns: names and numbers, (n,) or (n, m), each taken when it is written.
    """
    home, found, whole = _folder(place), Columns(), True
    aside = temporary.named(home / key[:16])
    with suppress(OSError):
        aside.mkdir(parents=True, exist_ok=True)
    for name, values in columns:
        try:
            _write(aside / f"{name}{_SUFFIX}", values)
            found[name] = _mapped(aside / f"{name}{_SUFFIX}")
        except OSError:
            found[name], whole = values, False
    if whole:
        if find(place, key) is None:
            shutil.rmtree(home / key, ignore_errors=True)
        with suppress(OSError):  # another process kept the same
            aside.replace(home / key)
        for other in home.iterdir():
            if other.name != key and (other.name[:1] != "." or temporary.orphaned(other)):
                shutil.rmtree(other, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    return found


def distinct(values: NDArray[N]) -> NDArray[N]:
    """Whole numbers that occur, ascending, as of ``np.unique``, which takes ten times as long."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def _folder(place: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    named = hashlib.sha256(str(Path(place).absolute()).encode()).hexdigest()[:16]
    return Path(state) / "detbench" / "columns" / named


def _write(path: Path, values: NDArray[Any]) -> None:
    import pyarrow as pa

    column = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 2:
        column = pa.FixedSizeListArray.from_arrays(column, values.shape[1])
    batch = pa.record_batch([column], names=["values"])
    with pa.ipc.new_file(str(path), batch.schema) as file:
        file.write_batch(batch)


def _mapped(path: Path) -> NDArray[Any]:
    import pyarrow as pa

    column = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0)
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=True))
    width = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=True)).reshape(-1, width)
