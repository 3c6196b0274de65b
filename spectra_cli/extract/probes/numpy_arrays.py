"""`.npy` token arrays: one stream (length,), or ready sequences (rows, ids a row)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.source import ProbeSource, TokenArray, each_file


def read_npy(path: Path) -> TokenArray:
    """The integer array of an `.npy` file, memory-mapped; pickled objects are refused.

    Raises:
        ProbeError: not an `.npy` file, or not integers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ProbeError(f"{path} cannot be read as an .npy array of integers: {error}") from error
    # np.load opens an .npz archive whatever the suffix says
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        found = getattr(array, "dtype", type(array).__name__)
        raise ProbeError(f"{path} holds {found}, expected one array of integer token ids")
    return array


NUMPY_ARRAY = ProbeSource(
    summary=".npy integer arrays: a stream of ids, or one sequence a row",
    suffixes=(".npy",),
    read=each_file(read_npy),
)
