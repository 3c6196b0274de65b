"""Archives of runs that were never trained: spectra, losses and metadata with a planted truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectra_cli.archive.writer import write_archive
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    ProbeInfo,
    Provenance,
    Scalar,
    Site,
    Spectrum,
    SpectrumKind,
)

NUM_BLOCKS = 8


def planted_spectrum(
    exponent: float,
    layer: int,
    *,
    first: float = 1.0,
    noise: float = 0.0,
    width: int = 64,
    rng: np.random.Generator,
) -> Spectrum:
    """Eigenvalues rank^-exponent, the first of them times `first`; blocks scatter by `noise` around them."""
    values = np.arange(1.0, width + 1) ** -exponent
    values[0] *= first
    scatter = noise * rng.standard_normal((NUM_BLOCKS, width))
    profile = values * (1 + scatter - scatter.mean(0))
    return Spectrum(
        site=Site(layer=layer, component="resid_post"),
        measurement="activation_covariance",
        kind=SpectrumKind.EIGENVALUES,
        values=values,
        num_samples=width * 1000,
        ambient_dim=width,
        centered=True,
        unit="",
        block_profile=profile.astype(np.float32) if noise else None,
        block_sizes=(width * 1000 // NUM_BLOCKS,) * NUM_BLOCKS if noise else (),
    )


def write_planted_run(
    path: Path,
    *,
    steps: Sequence[int | None],
    losses: Sequence[float] | None = None,
    exponents: Sequence[float] | float = 1.0,
    firsts: Sequence[float] | float = 1.0,
    tokens_a_step: int | None = 1000,
    num_layers: int = 2,
    noise: float = 0.0,
    width: int = 64,
    settings: dict[str, Any] | None = None,
    probe_digest: str = "d" * 64,
    num_sequences: int = 256,
    seed: int = 0,
    lies_in: Path | None = None,
    **info: Any,
) -> Path:
    """An archive with one checkpoint a step; `info` goes to each `CheckpointInfo`, lists one a checkpoint."""
    rng = np.random.default_rng(seed)
    shape = np.broadcast_to(np.asarray(exponents, dtype=float), len(steps))
    spikes = np.broadcast_to(np.asarray(firsts, dtype=float), len(steps))
    probe = ProbeInfo(
        digest=probe_digest,
        source="val.bin",
        format="bin",
        num_sequences=num_sequences,
        sequence_length=1024,
        targets="next_token",
        seed=0,
        starts=(),
        vocab_size=50,
    )
    scan = {**ScanSettings().as_json(), "num_sequences": num_sequences, **(settings or {})}
    provenance = Provenance(settings=scan, probe=probe, versions={"numerics": "1"})
    run = path.name.removesuffix(".spectra.h5")
    checkpoints = []
    for place, step in enumerate(steps):
        here = {name: v[place] if isinstance(v, list) else v for name, v in info.items()}
        loss = None if losses is None else float(losses[place])
        scalar = Scalar(
            name="probe_loss", site=None, measurement="probe", value=loss or 0.0, unit="nats per token"
        )
        checkpoints.append(
            CheckpointSpectra(
                ref=CheckpointRef(
                    run=run,
                    step=step,
                    uri=f"{lies_in or path.absolute().parent / run}/step{step}-{place}",
                    format="hf",
                ),
                info=CheckpointInfo(
                    **{
                        "num_parameters": 1000,
                        "family": "gpt2",
                        "architecture": "GPT2LMHeadModel",
                        "tokens_seen": None if None in (step, tokens_a_step) else step * tokens_a_step,
                        "digest": f"{run}-{place}",
                        **here,
                    }
                ),
                provenance=provenance,
                spectra=tuple(
                    planted_spectrum(
                        shape[place], layer, first=spikes[place], noise=noise, width=width, rng=rng
                    )
                    for layer in range(num_layers)
                ),
                scalars=() if loss is None else (scalar,),
            )
        )
    write_archive(path, checkpoints)
    return path


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    return write_planted_run
