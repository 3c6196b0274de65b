"""Checkpoints whose spectra are sampled: covariances of Gaussian rows, measured in blocks as a scan does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.core.types import CheckpointSpectra, Provenance, Scalar, Spectrum
from tests.builders import checkpoints, spectra
from tests.builders import provenance as provenances


def lone_point(measured: Sequence[Spectrum], scalars: Sequence[Scalar] = ()) -> Point:
    """A run that stands at a checkpoint."""
    made = checkpoints.checkpoint(measured, scalars)
    return Point(before=made, after=made, bracket=Bracket(before=0, after=0, share=0.0, gap=0.0))


@pytest.fixture(scope="session")
def sampled() -> Callable[..., Spectrum]:
    return spectra.spectrum_of_rows


@pytest.fixture(scope="session")
def weight() -> Callable[..., Spectrum]:
    return spectra.weight


@pytest.fixture(scope="session")
def checkpoint() -> Callable[..., CheckpointSpectra]:
    return checkpoints.checkpoint


@pytest.fixture(scope="session")
def provenance() -> Callable[..., Provenance]:
    return provenances.provenance


@pytest.fixture(scope="session")
def point() -> Callable[..., Point]:
    return lone_point
