"""The leading vectors behind a group's spectra: along checkpoint, site, vector and entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spectra_cli.archive.content.netcdf import (
    create_dimension,
    create_sparse_rows,
    create_variable,
    read_text,
)
from spectra_cli.core.types import Spectrum, SpectrumKind, Vectors

# (checkpoint, site) -> digest of the vectors, and their shapes: left (0, 0) where there are none
Cell = tuple[int, int, str, tuple[int, int], tuple[int, int]]

COUNT, DIGEST = "num_vectors", "vectors_digest"
# variable -> dimension of a vector's entries
SIDES = {"right_vectors": "column", "left_vectors": "row"}
_LONG_NAMES = {
    "right_vectors": "right singular vectors (of inputs), or eigenvectors",
    "left_vectors": "left singular vectors (of outputs)",
}


def sides_of(kind: SpectrumKind) -> tuple[str, ...]:
    """The variables that a group of this kind has, if it has vectors."""
    return tuple(SIDES) if kind is SpectrumKind.SINGULAR_VALUES else tuple(SIDES)[:1]


def create_vectors(group: Any, kind: SpectrumKind, shape: tuple[int, int], cells: Iterable[Cell]) -> None:
    """Create what holds vectors, complete but for their entries; nothing where no cell has any.

    Args:
        group: of the measurement.
        kind: of its spectra.
        shape: (checkpoints, sites).
        cells: of the spectra that have vectors.
    """
    cells = list(cells)
    if not cells:
        return
    counts = np.zeros(shape, np.int32)
    digests = np.full(shape, b"", dtype=object)
    widths = dict.fromkeys(SIDES, 0)
    for i, j, digest, *sides in cells:
        counts[i, j], digests[i, j] = sides[0][0], digest.encode()
        for name, (_, width) in zip(SIDES, sides, strict=True):
            widths[name] = max(widths[name], width)
    most = int(counts.max())
    two = ["checkpoint", "site"]
    create_variable(group, COUNT, counts, two, long_name="vectors kept of the spectrum; 0: none")
    create_variable(group, DIGEST, digests, two, long_name="sha256 of the vectors; empty: none")
    create_dimension(group, "vector", np.arange(1, most + 1), long_name="rank of the vector, from 1")
    for name in sides_of(kind):
        dimension = SIDES[name]
        create_dimension(group, dimension, np.arange(widths[name]), long_name="entry of a vector, from 0")
        create_sparse_rows(
            group,
            name,
            (*shape, most, widths[name]),
            np.float32,
            [*two, "vector", dimension],
            long_name=_LONG_NAMES[name],
        )


def write_vectors(group: Any, checkpoint: int, place: Mapping[str, int], spectra: Sequence[Spectrum]) -> None:
    """Fill one checkpoint's cells."""
    for spectrum in spectra:
        if spectrum.vectors is None:
            continue
        for name, side in zip(SIDES, (spectrum.vectors.right, spectrum.vectors.left), strict=True):
            if side is not None:
                group[name][checkpoint, place[spectrum.site.address], : side.shape[0], : side.shape[1]] = side


def read_vectors(group: Any, kind: SpectrumKind, checkpoint: int, site: int) -> Vectors | None:
    """The vectors of one spectrum; None where none were kept."""
    if COUNT not in group or not (count := int(group[COUNT][checkpoint, site])):
        return None
    right = group["right_vectors"][checkpoint, site, :count, : int(group["ambient_dim"][checkpoint, site])]
    if kind is SpectrumKind.EIGENVALUES:
        return Vectors(right=right)
    left = group["left_vectors"][checkpoint, site, :count, : int(group["num_samples"][checkpoint, site])]
    return Vectors(right=right, left=left)


def read_digests(group: Any, checkpoint: int) -> dict[str, str]:
    """Address -> digest of the vectors there, without reading them."""
    if DIGEST not in group:
        return {}
    digests = group[DIGEST].asstr()[checkpoint]
    return {
        address: digest for address, digest in zip(read_text(group, "site"), digests, strict=True) if digest
    }
