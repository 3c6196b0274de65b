"""The probe that fits a series: asked for, read, and held against the model's vocabulary and positions."""

from __future__ import annotations

import os

import torch

from spectra_cli.core.errors import ProbeError, UsageError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import ProbeInfo
from spectra_cli.extract.measurements import weight_update, weights
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.source import ProbeRequest
from spectra_cli.extract.protocols import Probe
from spectra_cli.extract.series import Series


def read_probe(
    series: Series, settings: ScanSettings, *, source: str, tokenizer: str | None, form: str | None
) -> Probe:
    """The probe's tokens, checked against the model's vocabulary and longest sequence.

    A scan of weights alone needs no tokens: without a source it gets a probe of none.

    Raises:
        UsageError: no source was named.
        ProbeError: see `load_probe`; or sequences longer than the model's positions.
    """
    model = series.skeleton
    if not source and set(settings.measurements) <= {weights.NAME, weight_update.NAME}:
        return _no_tokens()
    if not source:
        raise UsageError(
            "no probe: --probe names the tokens that every checkpoint is shown (a .bin shard, .npy, .pt, "
            ".safetensors, text or JSONL file); `--probe synthetic` draws random ones for a smoke run"
        )
    if model.max_length is not None and settings.sequence_length > model.max_length:
        raise ProbeError(
            f"sequences of {settings.sequence_length} tokens were asked for; this {model.architecture} model "
            f"has {model.max_length} positions: use --sequence-length {model.max_length} or less"
        )
    folder = series.first.ref.uri
    return load_probe(
        ProbeRequest(
            source=source,
            num_sequences=settings.probe_sequences,
            sequence_length=settings.sequence_length,
            seed=settings.seed,
            order=settings.order,
            targets=settings.targets,
            tokenizer=tokenizer,
            format=form,
        ),
        vocab_size=model.vocab_size,
        checkpoint_folder=folder if os.path.isdir(folder) else os.path.dirname(folder),
        base_folder=series.first.base_uri,
    )


def _no_tokens() -> Probe:
    info = ProbeInfo(
        digest="",
        source="",
        format="none",
        num_sequences=0,
        sequence_length=0,
        targets="none",
        seed=None,
        starts=(),
        vocab_size=0,
    )
    nothing = torch.empty(0, 0, dtype=torch.int64)
    return Probe(info=info, tokens=nothing, targets=nothing)
