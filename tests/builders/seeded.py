"""Checkpoints made of seeded numbers: covariances, gradients, weights, vectors, what was skipped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    Provenance,
    Scalar,
    Site,
    Skipped,
    Spectrum,
    SpectrumKind,
    Status,
    Vectors,
)
from tests.builders.provenance import probe

PROBE = probe(
    num_sequences=4, sequence_length=8, seed=3, starts=(16, 0, 64, 32), notices=("read with T + 1 ids",)
)


def seeded_provenance(**changes: Any) -> Provenance:
    values: dict[str, Any] = {
        "settings": {"layers": "all", "normalize": {"kind": "rms", "eps": 1e-6}, "matrices": ["attn.q"]},
        "probe": PROBE,
        "versions": {"spectra": "0.1.0", "numerics": "1", "torch": "2.13"},
        "execution": {"device": "cpu", "seconds": 1.25, "batch_sizes": [4, 2]},
    }
    return Provenance(**(values | changes))


def seeded_spectrum(
    rng: np.random.Generator,
    address: str,
    *,
    measurement: str = "activation_covariance",
    kind: SpectrumKind = SpectrumKind.EIGENVALUES,
    rank: int = 6,
    num_blocks: int = 3,
) -> Spectrum:
    """A spectrum whose profile has the values as its weighted mean, as the core type promises."""
    profile = rng.gamma(2.0, size=(num_blocks, rank)) / np.arange(1, rank + 1) ** 2
    sizes = tuple(int(n) for n in rng.integers(1, 9, num_blocks))
    eigenvalues = np.average(profile, axis=0, weights=sizes) if num_blocks else rng.gamma(2.0, size=rank)
    order = np.argsort(eigenvalues)[::-1]
    values = eigenvalues[order]
    singular = kind is SpectrumKind.SINGULAR_VALUES
    return Spectrum(
        site=Site.parse(address, name=f"model.{address}.weight"),
        measurement=measurement,
        kind=kind,
        values=np.sqrt(values) if singular else values,
        num_samples=sum(sizes) or 5,
        ambient_dim=rank + 2,
        centered=not singular,
        unit="nats/param" if singular else "hidden unit^2",
        zero_threshold=float(rng.random()) * 1e-12,
        block_profile=profile[:, order].astype(np.float32) if num_blocks else None,
        block_sizes=sizes,
    )


def seeded_checkpoint(step: int | None, *, seed: int = 0, **changes: Any) -> CheckpointSpectra:
    """A checkpoint with covariances, gradients and weights at sites that depend on the step."""
    rng = np.random.default_rng([seed, 0 if step is None else step + 1])
    blocks = range(2 + (step or 0) % 2)
    spectra = [seeded_spectrum(rng, f"blocks.{i}.resid_post", rank=5 + i) for i in blocks]
    spectra += [
        seeded_spectrum(
            rng, f"blocks.{i}.{c}", measurement="gradient_matrix", kind=SpectrumKind.SINGULAR_VALUES
        )
        for i in blocks
        for c in ("attn.q", "mlp.down")
    ]
    spectra += [
        seeded_spectrum(rng, a, measurement="weight", num_blocks=0)
        for a in ("embed", "blocks.0.attn.q", "lm_head")
    ]
    sizes = (2, 2)
    scalars = (
        Scalar(
            name="probe_loss",
            site=None,
            measurement="loss",
            value=3.5,
            unit="nats/token",
            delete_one_block=np.array([3.4, 3.6]),
            block_sizes=sizes,
        ),
        Scalar(
            name="noise_scale",
            site=Site.parse("blocks.1.attn.q", name="q"),
            measurement="gradient_matrix",
            value=float("nan"),
            unit="sequences",
            status=Status.UNRESOLVED,
        ),
    )
    skipped = Skipped(
        measurement="gradient_matrix",
        site=Site.parse("blocks.0.attn.v", name="none"),
        status=Status.NOT_APPLICABLE,
        reason="block 0 has no attention",
    )
    uri = f"/runs/a/{'final' if step is None else f'step{step}'}"
    values: dict[str, Any] = {
        "ref": CheckpointRef(run="a", step=step, uri=uri, format="hf"),
        "info": CheckpointInfo(
            num_parameters=1234,
            family="llama",
            architecture="LlamaForCausalLM",
            tokens_seen=None if step is None else step * 100,
            train_loss=4.0,
            digest=f"digest-{seed}-{step}",
            fingerprint=f"files-{seed}-{step}",
            sources={"train_loss": "trainer_state.json"},
            notices=("prefix stripped", "π ≈ 3"),
        ),
        "provenance": seeded_provenance(),
        "spectra": tuple(spectra),
        "scalars": scalars,
        "skipped": (skipped,),
    }
    return CheckpointSpectra(**(values | changes))


def with_vectors(checkpoint: CheckpointSpectra) -> CheckpointSpectra:
    """The same with three orthonormal vectors behind each spectrum."""

    def rows(rng: np.random.Generator, width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.linalg.qr(rng.standard_normal((width, min(3, width))))[0].T.astype(np.float32)

    spectra = []
    for place, s in enumerate(checkpoint.spectra):
        rng = np.random.default_rng(place)
        count = min(3, s.ambient_dim, s.num_samples, s.values.size)
        singular = s.kind is SpectrumKind.SINGULAR_VALUES
        vectors = Vectors(
            right=rows(rng, s.ambient_dim)[:count],
            left=rows(rng, s.num_samples)[:count] if singular else None,
        )
        spectra.append(replace(s, vectors=vectors))
    return replace(checkpoint, spectra=tuple(spectra))
