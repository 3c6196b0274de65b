"""What the C library does with freed memory on the CPU; on others than glibc nothing is changed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_NEVER = 2**30
# glibc's own, until it adapts it.
_USUAL_MMAP_THRESHOLD = 2**17


@contextmanager
def kept_heap() -> Iterator[None]:
    """Inside, what a batch frees is kept for the next one; it stays kept until `give_back_heap`.

    glibc returns large arrays to the system at once, to fetch them again page by page for the next batch.
    Outside, a large array that finds no room in the heap is mapped apart: threads that work side by side take
    turns in another order each time, and would enlarge it a little from checkpoint to checkpoint. Threads
    that start from now on share one heap, since none could use what is kept in another's.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_ARENA_MAX, 1)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    library.mallopt(_MMAP_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _USUAL_MMAP_THRESHOLD)


def give_back_heap() -> None:
    """Return freed memory to the system."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "malloc_trim") else None
