"""What the C library does with freed memory on the CPU; on others than glibc nothing is changed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_NEVER = 2**30


@cache
def keep_heap() -> None:
    """From now on let this process keep what a batch frees for the next one.

    glibc returns large arrays to the system at once, to fetch them again page by page for the next batch.
    What is kept goes back with `give_back_heap`. Threads that are started from now on share one heap, since
    none of them could use what is kept in another's.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _NEVER)
        library.mallopt(_TRIM_THRESHOLD, _NEVER)
        library.mallopt(_ARENA_MAX, 1)


def give_back_heap() -> None:
    """Return freed memory to the system."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "malloc_trim") else None
