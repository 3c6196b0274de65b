"""Spectra made of their eigenvalues, or measured slowly and plainly from rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectra_cli.core.types import FloatArray, Site, Spectrum, SpectrumKind

BLOCKS = 16
_KINDS = {
    "activation_covariance": (SpectrumKind.EIGENVALUES, True),
    "gradient_covariance": (SpectrumKind.EIGENVALUES, True),
    "gradient_matrix": (SpectrumKind.SINGULAR_VALUES, False),
    "weight": (SpectrumKind.SINGULAR_VALUES, False),
    "weight_update": (SpectrumKind.SINGULAR_VALUES, False),
}


def spectrum(
    eigenvalues: ArrayLike,
    measurement: str = "activation_covariance",
    address: str = "blocks.0.resid_post",
    **changes: Any,
) -> Spectrum:
    """Spectrum with these *eigenvalues*, whatever the measurement's kind; `changes` are other fields."""
    kind, centered = _KINDS[measurement]
    values = np.asarray(eigenvalues, dtype=np.float64)
    fields: dict[str, Any] = {
        "site": Site.parse(address),
        "measurement": measurement,
        "kind": kind,
        "values": np.sqrt(values) if kind is SpectrumKind.SINGULAR_VALUES else values,
        "num_samples": 4096 * values.size if measurement == "activation_covariance" else values.size,
        "ambient_dim": values.size,
        "centered": centered,
        "unit": "1",
    }
    return Spectrum(**(fields | changes))


def spectrum_of_rows(
    rows: FloatArray,
    address: str = "blocks.0.resid_post",
    measurement: str = "activation_covariance",
    *,
    block_sizes: Sequence[int] = (),
) -> Spectrum:
    """Of the centred covariance of rows (n, d), with the profile of the blocks: 16 equal ones by default."""
    n = len(rows)
    sizes = tuple(block_sizes) or (n // BLOCKS,) * BLOCKS
    centred = rows - rows.mean(0)
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / (n - 1))
    scores = (centred @ vectors) ** 2 / (n - 1)
    ends = np.cumsum(sizes)
    profile = [scores[end - size : end].sum(0) * n / size for end, size in zip(ends, sizes, strict=True)]
    return spectrum(
        np.maximum(eigenvalues[::-1], 0.0),
        measurement,
        address,
        num_samples=n,
        block_profile=np.array(profile)[:, ::-1],
        block_sizes=sizes,
    )


def weight(values: ArrayLike, address: str = "blocks.0.attn.o") -> Spectrum:
    """A square matrix with these singular values."""
    return spectrum(np.asarray(values, dtype=np.float64) ** 2, "weight", address, values=np.array(values))
