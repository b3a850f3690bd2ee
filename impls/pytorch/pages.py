"""Memory for large arrays on a CPU.

The system gives memory by pages, at the first write to each. For a large y or dx that takes longer than the arithmetic:
20 ms for 50 MB in pages of 4 KB, 5 in those of 2 MB, which Linux gives where they are asked for.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

LARGE = 1 << 22
"""Bytes from which large pages are asked for: two of them."""
PLAIN = (Tensor, torch.nn.Parameter)


def empty_like(x: Tensor) -> Tensor:
    """`torch.empty_like`, in large pages where the system has them and x is large."""
    memory = torch.empty_like(x)
    if memory.nbytes >= LARGE and is_plain(memory) and (advise := madvise()):
        first = -(-memory.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        advise(first, memory.data_ptr() + memory.nbytes - first, mmap.MADV_HUGEPAGE)
    return memory


def is_plain(x: Tensor) -> bool:
    """Whether x lies in the memory of a CPU: not a fake one, a wrapper, or on another device."""
    return x.is_cpu and type(x) in PLAIN and not torch._C._are_functorch_transforms_active()


@cache
def madvise() -> Callable[[int, int, int], int] | None:
    """madvise(2), or None where there is none, or no large pages. Advice: what it returns does not matter."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
