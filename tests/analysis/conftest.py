"""Checkpoints whose spectra are sampled: covariances of Gaussian rows, measured in blocks as a scan does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.points import Point
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    FloatArray,
    ProbeInfo,
    Provenance,
    Scalar,
    Site,
    Spectrum,
    SpectrumKind,
)

BLOCKS = 16


def sampled_spectrum(
    rows: FloatArray, address: str = "blocks.0.resid_post", measurement: str = "activation_covariance"
) -> Spectrum:
    """Spectrum of the centred covariance of rows (n, d), with the profile of 16 equal blocks."""
    n, d = rows.shape
    centred = rows - rows.mean(0)
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / (n - 1))
    scores = (centred @ vectors) ** 2 / (n - 1)
    profile = scores.reshape(BLOCKS, n // BLOCKS, d).sum(1) * BLOCKS
    return Spectrum(
        site=Site.parse(address),
        measurement=measurement,
        kind=SpectrumKind.EIGENVALUES,
        values=np.maximum(eigenvalues[::-1], 0.0),
        num_samples=n,
        ambient_dim=d,
        centered=True,
        unit="1",
        block_profile=profile[:, ::-1],
        block_sizes=(n // BLOCKS,) * BLOCKS,
    )


def weight_spectrum(values: Sequence[float], address: str = "blocks.0.attn.o") -> Spectrum:
    return Spectrum(
        site=Site.parse(address),
        measurement="weight",
        kind=SpectrumKind.SINGULAR_VALUES,
        values=np.array(values),
        num_samples=len(values),
        ambient_dim=len(values),
        centered=False,
        unit="1",
    )


def checkpoint_of(
    spectra: Sequence[Spectrum], scalars: Sequence[Scalar] = (), *, step: int = 1, **info: Any
) -> CheckpointSpectra:
    return CheckpointSpectra(
        ref=CheckpointRef(run="a", step=step, uri=f"/a/{step}", format="hf"),
        info=CheckpointInfo(**({"num_parameters": 1, "family": "f", "architecture": "A"} | info)),
        provenance=provenance_of(),
        spectra=tuple(spectra),
        scalars=tuple(scalars),
    )


def provenance_of(*, settings: dict[str, Any] | None = None, **probe: Any) -> Provenance:
    fields: dict[str, Any] = {
        "digest": "a" * 64,
        "source": "/data/val.bin",
        "format": "bin",
        "num_sequences": 64,
        "sequence_length": 32,
        "targets": "next_token",
        "seed": 0,
        "starts": (),
        "vocab_size": 8,
    }
    measured = {
        "preset": "default",
        "normalize": "rms",
        "pool": "token",
        "dtype": "float32",
        "num_blocks": 16,
        "num_sequences": 64,
        "num_gradient_sequences": 64,
    }
    return Provenance(
        settings=measured | (settings or {}),
        probe=ProbeInfo(**(fields | probe)),
        versions={"numerics": "1"},
    )


def lone_point(spectra: Sequence[Spectrum], scalars: Sequence[Scalar] = ()) -> Point:
    """A run that stands at a checkpoint."""
    checkpoint = checkpoint_of(spectra, scalars)
    return Point(before=checkpoint, after=checkpoint, bracket=Bracket(before=0, after=0, share=0.0, gap=0.0))


@pytest.fixture(scope="session")
def sampled() -> Callable[..., Spectrum]:
    return sampled_spectrum


@pytest.fixture(scope="session")
def weight() -> Callable[..., Spectrum]:
    return weight_spectrum


@pytest.fixture(scope="session")
def checkpoint() -> Callable[..., CheckpointSpectra]:
    return checkpoint_of


@pytest.fixture(scope="session")
def provenance() -> Callable[..., Provenance]:
    return provenance_of


@pytest.fixture(scope="session")
def point() -> Callable[..., Point]:
    return lone_point
