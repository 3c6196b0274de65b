"""The seal: 48 bytes after the HDF5 file that vouch for every byte before them.

HDF5 puts checksums on some of its structure and on none of its numbers. Per-checkpoint digests cover the
numbers, and only once HDF5 has read them. The seal is checked before: a flipped bit, a cut-off end or a later
change by another tool is found while the file is still bytes. Readers of HDF5 ignore what follows its end.

A seal is no signature: whoever writes a file can seal it. It tells damage, not malice.
"""

from __future__ import annotations

import hashlib
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spectra_cli.core.errors import ArchiveError

MAGIC = b"SPSEAL1\n"
_TRAILER = struct.Struct("<8sQ32s")  # magic; bytes before the seal; digest of them
SEAL_BYTES = _TRAILER.size
BLOCK_BYTES = 1 << 22
_THREADS = min(4, os.cpu_count() or 1)


def seal_of(descriptor: int, num_bytes: int) -> bytes:
    """The seal of the first `num_bytes` of an open file: SHA-256 of the SHA-256 of its blocks of 4 MiB.

    The blocks let several cores share the work.

    Raises:
        ArchiveError: the file is shorter than that.
        OSError: it cannot be read.
    """

    def block_digest(start: int) -> bytes:
        wanted = min(BLOCK_BYTES, num_bytes - start)
        block = os.pread(descriptor, wanted, start)
        if len(block) != wanted:
            raise ArchiveError(f"{num_bytes} bytes were to be read, and the file became shorter meanwhile")
        return hashlib.sha256(block).digest()

    starts = range(0, num_bytes, BLOCK_BYTES)
    if len(starts) > 1 and _THREADS > 1:
        with ThreadPoolExecutor(_THREADS) as pool:
            digests = list(pool.map(block_digest, starts))
    else:
        digests = [block_digest(start) for start in starts]
    return _TRAILER.pack(MAGIC, num_bytes, hashlib.sha256(b"".join(digests)).digest())


def has_valid_seal(descriptor: int, path: Path) -> bool:
    """Whether a file ends in a seal that fits all of its bytes; False where it has none.

    Raises:
        ArchiveError: it has a seal, of other bytes.
        OSError: it cannot be read.
    """
    size = os.fstat(descriptor).st_size
    if size < SEAL_BYTES:
        return False
    found = os.pread(descriptor, SEAL_BYTES, size - SEAL_BYTES)
    if not found.startswith(MAGIC):
        return False
    if found != seal_of(descriptor, size - SEAL_BYTES):
        raise broken_seal(path, "its bytes are not those that were sealed when it was written")
    return True


def seal(path: Path) -> None:
    """Seal a file anew, in place of the seal that it has or had: for tools that change archives knowingly.

    Raises:
        OSError: it cannot be read or written.
    """
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        end = size - SEAL_BYTES if size >= SEAL_BYTES else size
        if os.pread(file.fileno(), len(MAGIC), end) != MAGIC:
            end = size
        file.truncate(end)
        file.seek(end)
        file.write(seal_of(file.fileno(), end))


def broken_seal(path: Path, found: str) -> ArchiveError:
    """The error for a file that is not as its writer left it."""
    return ArchiveError(
        f"{path} was cut off, damaged or changed by another tool: {found}. Nothing was read from it. "
        "Restore it from a copy, or move it away and scan again."
    )
