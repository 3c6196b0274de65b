"""Archives of synthetic runs, as large as those that people compare; only sizes matter here, not numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spectra_cli.archive.writer import consolidate, write_part
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

WIDTH, SEQUENCES, BLOCKS = 768, 512, 16
MATRICES = ("attn.o", "mlp.down", "attn.q", "attn.v")


def write_archive(path: Path, *, num_checkpoints: int, num_layers: int, exponent: float) -> None:
    """A run whose loss falls with the steps: activations and four matrices' gradients of every layer."""
    rng = np.random.default_rng(round(1000 * exponent))
    for number in range(num_checkpoints):
        write_part(path, _checkpoint(rng, path.name, number, num_layers, exponent))
    consolidate(path)


def _checkpoint(
    rng: np.random.Generator, run: str, number: int, num_layers: int, exponent: float
) -> CheckpointSpectra:
    step = 10 + number**2
    loss = 3 + 10 * (step + 10) ** -0.25
    per_block = SEQUENCES // BLOCKS
    return CheckpointSpectra(
        ref=CheckpointRef(run=run, step=step, uri=f"{run}/{step}", format="hf"),
        info=CheckpointInfo(
            num_parameters=10**8,
            family="synthetic",
            architecture="synthetic",
            digest=f"{run}{step}",
            fingerprint=f"{run}{step}",
        ),
        provenance=Provenance(
            settings={
                "num_sequences": SEQUENCES,
                "num_gradient_sequences": SEQUENCES,
                "normalize": "rms",
                "pool": "token",
            },
            probe=ProbeInfo(
                digest="synthetic",
                source="",
                format="none",
                num_sequences=SEQUENCES,
                sequence_length=WIDTH,
                targets="next_token",
                seed=0,
                starts=(),
                vocab_size=10,
            ),
            versions={"numerics": "1"},
            execution={"num_layers": num_layers},
        ),
        spectra=tuple(_spectra(rng, num_layers, exponent + 0.003 * number)),
        scalars=(
            Scalar(
                name="probe_loss",
                site=None,
                measurement="probe",
                value=loss,
                unit="nats/token",
                delete_one_block=loss + rng.normal(0, 0.005, BLOCKS),
                block_sizes=(per_block,) * BLOCKS,
            ),
        ),
    )


def _spectra(rng: np.random.Generator, num_layers: int, exponent: float) -> Iterator[Spectrum]:
    for layer in range(num_layers):
        rows = SEQUENCES * WIDTH
        yield _spectrum(rng, f"blocks.{layer}.resid_post", "activation_covariance", WIDTH, rows, exponent)
        for name in MATRICES:
            yield _spectrum(rng, f"blocks.{layer}.{name}", "gradient_covariance", SEQUENCES, 0, exponent)


def _spectrum(
    rng: np.random.Generator, place: str, measurement: str, rank: int, num_samples: int, exponent: float
) -> Spectrum:
    values: FloatArray = np.arange(1.0, rank + 1) ** -exponent
    profile = values * rng.gamma(200, 1 / 200, size=(BLOCKS, rank))
    samples = num_samples or SEQUENCES
    return Spectrum(
        site=Site.parse(place),
        measurement=measurement,
        kind=SpectrumKind.EIGENVALUES,
        values=values,
        num_samples=samples,
        ambient_dim=rank if num_samples else WIDTH**2,
        centered=True,
        unit="1",
        block_profile=profile * values / profile.mean(0),
        block_sizes=(samples // BLOCKS,) * BLOCKS,
    )
