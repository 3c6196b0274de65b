"""Spectra to try the statistics on: built by hand, or measured slowly and plainly from rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spectra_cli.core.types import FloatArray, Spectrum
from tests.builders.spectra import spectrum, spectrum_of_rows


@pytest.fixture(scope="session")
def spectrum_of() -> Callable[..., Spectrum]:
    """Spectrum with the given *eigenvalues*, whatever the measurement's kind."""
    return spectrum


@pytest.fixture(scope="session")
def measured() -> Callable[..., Spectrum]:
    """Centred covariance spectrum of rows (n, d), with the profile of the given blocks."""

    def measure(rows: FloatArray, block_sizes: tuple[int, ...]) -> Spectrum:
        return spectrum_of_rows(rows, block_sizes=block_sizes)

    return measure
