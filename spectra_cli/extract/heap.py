"""What the C library does with freed memory during a scan on the CPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# From malloc.h; the thresholds that glibc itself arrives at once large buffers have been freed.
_TRIM, _MMAP = -1, -3
_OWN_TRIM, _OWN_MMAP = 64 * 2**20, 32 * 2**20
_NEVER = 2**31 - 1


@contextmanager
def kept_heap() -> Iterator[None]:
    """Keep freed memory for the next batch, and give all of it back at the end.

    Without it glibc returns a batch's activations to the system and fetches them again, page by page,
    for the next batch. Elsewhere than on glibc nothing is changed.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP, _OWN_MMAP)
    library.mallopt(_TRIM, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_TRIM, _OWN_TRIM)
        library.malloc_trim(ctypes.c_size_t(0))
