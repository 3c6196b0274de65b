"""Windows of a token file, read from the file: a mapping ends the process where the file is truncated."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.source import TokenArray, TokenFile


def read_rows(file: TokenFile, rows: TokenArray, chosen: NDArray[np.int64], stride: int) -> TokenArray:
    """Some of the windows of a file.

    Args:
        file: whose ids may be mapped; a mapping tells where they are, and is not looked into.
        rows: (count, width), every window as a view of the ids.
        chosen: (n,) numbers of windows.
        stride: tokens from one window to the next.

    Returns:
        (n, width) ids.

    Raises:
        ProbeError: the file has another size than when it was opened.
    """
    ids = file.ids
    if not isinstance(ids, np.memmap):
        return rows[chosen]
    kind: np.dtype[Any] = ids.dtype
    with open(file.name, "rb") as stored:
        size, expected = os.fstat(stored.fileno()).st_size, ids.offset + ids.nbytes
        if size != expected:
            raise ProbeError(_changed(file.name, size, expected))
        if not ids.flags.c_contiguous:  # columns one after another: every window is all over the file
            stored.seek(ids.offset)
            whole = np.frombuffer(stored.read(ids.nbytes), dtype=kind)
            if whole.size != ids.size:
                raise ProbeError(_changed(file.name, ids.offset + whole.nbytes, expected))
            columns: TokenArray = whole.reshape(ids.shape, order="F")
            return columns[chosen, : rows.shape[1]]
        found: TokenArray = np.empty((len(chosen), rows.shape[1]), dtype=kind)
        for place, number in enumerate(chosen.tolist()):
            stored.seek(ids.offset + number * stride * ids.itemsize)
            if stored.readinto(found[place].data) != found[place].nbytes:
                raise ProbeError(_changed(file.name, os.fstat(stored.fileno()).st_size, expected))
        return found


def _changed(name: str, size: int, expected: int) -> str:
    return (
        f"{name} has {size} bytes, and had {expected} when it was opened: it changed while it was being "
        "read; try again once nothing writes to it"
    )
