"""The folder that a training of the user's keeps its files in: one training at a time, and nothing
in it of anybody else's is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detbench import inputs
from detbench.errors import StoreError
from detbench.results.files import Lock
from detbench.training import curve, first_iteration
from detbench.training.distributed import Team
from detbench.training.state import CHECKPOINT

WEIGHTS = "weights.pt"
DETECTIONS = "detections.json.gz"
LOCK = "lock"
_WRITTEN = (CHECKPOINT, curve.FILE, first_iteration.FILE, WEIGHTS, DETECTIONS)
_PATIENCE_S = 2.0


@contextmanager
def held(folder: Path, team: Team) -> Iterator[None]:
    """Keep other processes from training into ``folder``, which is made if it is not there.

    Raises:
        StoreError: another process trains there, the folder cannot be written, or what is there in
            place of a file that a training writes is none.
    """
    lock = Lock(folder / LOCK)
    team.from_first(lambda: _take(lock))
    try:
        yield
    finally:
        if team.first:
            lock.path.unlink(missing_ok=True)  # while it is held, so that it is nobody else's
            lock.release()


def _take(lock: Lock) -> None:
    folder = lock.path.parent
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: {inputs.why_no_file(folder) or 'a file'}: name a folder")
    for name in (LOCK, *_WRITTEN):
        path = folder / name
        if (path.exists() or path.is_symlink()) and (said := inputs.why_no_file(path)):
            raise StoreError(f"{path}: {said}: a training writes it: choose another folder")
    if lock.path.exists() and lock.path.stat().st_size:
        raise _foreign(lock.path)
    if not lock.acquire(_PATIENCE_S):
        raise StoreError(
            f"{folder}: another process trains there: wait for it, or choose another folder"
        )


def check_own(folder: Path) -> None:
    """Look at the folder of a training that starts from nothing.

    What an earlier one that was killed before its first checkpoint left there is replaced. Weights
    and detections are of one that was finished, and are not.

    Raises:
        StoreError: a file that would be replaced is not what such a training left.
    """
    for name in (WEIGHTS, DETECTIONS):
        if (folder / name).exists():
            raise _foreign(folder / name)
    path = folder / first_iteration.FILE
    if path.exists() and "losses" not in first_iteration.read(path):
        raise _foreign(path)
    path = folder / curve.FILE
    if path.exists() and path.stat().st_size and not curve.is_one(path):
        raise _foreign(path)


def _foreign(path: Path) -> StoreError:
    return StoreError(
        f"{path} is there already, and is not of this training: choose another folder, or move it"
    )
