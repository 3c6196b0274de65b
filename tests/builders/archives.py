"""Archives of runs that were never trained: spectra, losses and metadata with a planted truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.archive.writer import write_archive
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Spectrum
from tests.builders.checkpoints import checkpoint
from tests.builders.provenance import provenance
from tests.builders.spectra import spectrum

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
    return spectrum(
        values,
        address=f"blocks.{layer}.resid_post",
        num_samples=width * 1000,
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
    made_by = provenance(
        settings={**ScanSettings().as_json(), "num_sequences": num_sequences, **(settings or {})},
        digest=probe_digest,
        source="val.bin",
        num_sequences=num_sequences,
        sequence_length=1024,
    )
    run = path.name.removesuffix(".spectra.h5")
    checkpoints = []
    for place, step in enumerate(steps):
        here = {name: v[place] if isinstance(v, list) else v for name, v in info.items()}
        loss = None if losses is None else float(losses[place])
        scalar = Scalar(
            name="probe_loss", site=None, measurement="probe", value=loss or 0.0, unit="nats per token"
        )
        checkpoints.append(
            checkpoint(
                [
                    planted_spectrum(
                        shape[place], layer, first=spikes[place], noise=noise, width=width, rng=rng
                    )
                    for layer in range(num_layers)
                ],
                () if loss is None else (scalar,),
                step=step,
                run=run,
                uri=f"{lies_in or path.absolute().parent / run}/step{step}-{place}",
                provenance=made_by,
                **{
                    "num_parameters": 1000,
                    "family": "gpt2",
                    "architecture": "GPT2LMHeadModel",
                    "tokens_seen": None if step is None or tokens_a_step is None else step * tokens_a_step,
                    "digest": f"{run}-{place}",
                    **here,
                },
            )
        )
    write_archive(path, checkpoints)
    return path
