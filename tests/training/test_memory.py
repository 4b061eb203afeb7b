import errno
import os

import pytest
import torch

from detbench.errors import CellFailed
from detbench.training import memory

EXHAUSTED = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:73] DefaultCPUAllocator: can't allocate memory"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
)


@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda error: type(error).__name__)
def test_exhausted_memory_is_one_line_of_advice(error):
    said = r"out of memory: try .*bf16.*training\.batch.*--jobs"
    with pytest.raises(CellFailed, match=said), memory.advised():
        raise error


def test_a_real_allocation_that_fails():
    with pytest.raises(CellFailed), memory.advised():
        torch.empty(2**56)


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes"), memory.advised():
        raise RuntimeError("shapes differ")
