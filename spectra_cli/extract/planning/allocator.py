"""What memory takes beside the arrays that were asked for: holes in the heap, threads, what loads later.

A plan adds up arrays. What the process takes from the system is more: an array that finds no hole large
enough enlarges the heap, each worker thread has a stack, buffers and lists of free pieces of its own, and
functions are loaded and linked where they are first called. Measured on GPT-2, Llama, BLOOM, MPT, Mamba and
CodeGen, of 7 to 1,000 MiB: 5 to 8 MiB beside scans of weights alone, which hold next to nothing, 7 MiB more
with two threads, and 1 to 5 % between one run and the next.
"""

from __future__ import annotations

from spectra_cli.extract.measurements.algebra.cores import num_workers

PART = "allocator"
_FIRST_BYTES = 4 * 2**20
_BYTES_A_THREAD = 4 * 2**20
# One part in so many of all that is asked for.
_PARTS = 20


def allocator_bytes(asked: int) -> int:
    """What stands beside `asked` bytes of arrays.

    >>> asked = 1000 * 2**20
    >>> 0.05 < allocator_bytes(asked) / asked < 0.08
    True
    """
    return _unshared() - (-asked // _PARTS)


def bytes_to_ask(room: int) -> int:
    """The most that may be asked for, so that it fits into `room` with what the allocator takes.

    >>> bytes_to_ask(allocator_bytes(12345) + 12345)
    12345
    """
    return _PARTS * (room - _unshared()) // (_PARTS + 1)


def _unshared() -> int:
    return _FIRST_BYTES + num_workers(1) * _BYTES_A_THREAD
