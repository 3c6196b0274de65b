"""Spectra to try the statistics on: built by hand, or measured slowly and plainly from rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spectra_cli.core.types import FloatArray, Site, Spectrum, SpectrumKind

KINDS = {
    "activation_covariance": (SpectrumKind.EIGENVALUES, True),
    "gradient_covariance": (SpectrumKind.EIGENVALUES, True),
    "gradient_matrix": (SpectrumKind.SINGULAR_VALUES, False),
    "weight": (SpectrumKind.SINGULAR_VALUES, False),
    "weight_update": (SpectrumKind.SINGULAR_VALUES, False),
}


@pytest.fixture(scope="session")
def spectrum_of() -> Callable[..., Spectrum]:
    """Spectrum with the given *eigenvalues*, whatever the measurement's kind."""

    def build(
        eigenvalues: FloatArray, measurement: str = "activation_covariance", **changes: Any
    ) -> Spectrum:
        kind, centered = KINDS[measurement]
        eigenvalues = np.asarray(eigenvalues, dtype=np.float64)
        is_singular = kind is SpectrumKind.SINGULAR_VALUES
        fields: dict[str, Any] = {
            "site": Site.parse("blocks.0.resid_post"),
            "measurement": measurement,
            "kind": kind,
            "values": np.sqrt(eigenvalues) if is_singular else eigenvalues,
            "num_samples": 4096 * eigenvalues.size
            if measurement == "activation_covariance"
            else eigenvalues.size,
            "ambient_dim": eigenvalues.size,
            "centered": centered,
            "unit": "1",
        }
        return Spectrum(**{**fields, **changes})

    return build


@pytest.fixture(scope="session")
def measured(spectrum_of: Callable[..., Spectrum]) -> Callable[..., Spectrum]:
    """Centred covariance spectrum of rows (n, d), with the profile of the given blocks."""

    def measure(rows: FloatArray, block_sizes: tuple[int, ...]) -> Spectrum:
        n = len(rows)
        centred = rows - rows.mean(axis=0)
        eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / (n - 1))
        scores = (centred @ vectors) ** 2 / (n - 1)
        ends = np.cumsum(block_sizes)
        profile = [
            scores[end - size : end].sum(axis=0) * n / size
            for end, size in zip(ends, block_sizes, strict=True)
        ]
        return spectrum_of(
            eigenvalues[::-1],
            num_samples=n,
            block_profile=np.array(profile)[:, ::-1],
            block_sizes=block_sizes,
        )

    return measure
