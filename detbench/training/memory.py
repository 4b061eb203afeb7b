"""The message when memory ran out, which is no bug. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detbench.errors import CellFailed

ADVICE = (
    "out of memory: try --set training.precision=bf16, a smaller training.batch (with its learning "
    "rate in proportion), fewer --jobs, or a lighter --profile"
)
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def exhausted(error: BaseException) -> bool:
    """Whether an error says that the memory of the host or the device ran out."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS)


@contextmanager
def advised() -> Iterator[None]:
    """Turn running out of memory into ``CellFailed`` with advice."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not exhausted(error):
            raise
        raise CellFailed(ADVICE) from error
