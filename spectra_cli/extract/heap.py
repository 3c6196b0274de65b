"""What the C library does with freed memory on the CPU."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Names from malloc.h. Buffers up to 32 MiB come from the heap: what glibc itself arrives at once one of
# that size has been freed, and the most that it takes.
_TRIM, _MMAP = -1, -3
_LARGEST_ON_HEAP = 32 * 2**20
_NEVER = 2**31 - 1


@cache
def keep_heap() -> None:
    """Let this process keep freed memory for the next batch and the next checkpoint.

    Without it glibc returns a batch's activations to the system, and fetches them again page by page for
    the next one. It holds from now on; arrays beyond 32 MiB still go back at once. Elsewhere than on
    glibc nothing is changed.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.mallopt(_MMAP, _LARGEST_ON_HEAP)
        library.mallopt(_TRIM, _NEVER)
