"""One checkpoint of a series, outlined from its header."""

from __future__ import annotations

from typing import Any

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.stored_precision import precision_notices
from spectra_cli.extract.models.parameters import num_parameters
from spectra_cli.extract.models.tied_embeddings import stored_pairs
from spectra_cli.extract.protocols import CheckpointHeader
from spectra_cli.extract.series import Series, build_skeleton

# Families whose models differ from step to step: their windows grow.
_BY_STEP = ("nanogpt",)


def outline_checkpoint(series: Series, ref: CheckpointRef, *, compute_dtype: str) -> dict[str, Any]:
    """What the header of `ref` says; see `outline_header`.

    Raises:
        CheckpointError, ModelError: it could not be scanned, and why.
    """
    return outline_header(series, series.source.header(ref), compute_dtype=compute_dtype)


def outline_header(series: Series, header: CheckpointHeader, *, compute_dtype: str) -> dict[str, Any]:
    """What a header of the series says, with its parameters counted on the meta device, and what a scan in
    `compute_dtype` would note about it; notices of its model only where the series' first lacks them.

    Checkpoints whose tensors have the names and shapes of the series' first one share its skeleton.

    Raises:
        ModelError: it could not be scanned, and why.
    """
    same = header.tensors == series.first.tensors and header.config == series.first.config
    # whether two stored matrices are one is known from their values
    same = same and not stored_pairs(series.skeleton.module, header.tensors)
    same = same and (series.skeleton.family not in _BY_STEP or header.ref == series.first.ref)
    model = series.skeleton if same else build_skeleton(header, series.builder)
    own = tuple(notice for notice in model.notices if notice not in series.skeleton.notices)
    return {
        "ref": header.ref,
        "architecture": model.architecture,
        "num_parameters": num_parameters(model),
        "num_bytes": header.num_bytes,
        "tokens_seen": header.tokens_seen,
        "train_loss": header.train_loss,
        "eval_loss": header.eval_loss,
        "batch_size_tokens": header.batch_size_tokens,
        "learning_rate": header.learning_rate,
        "facts": dict(header.facts),
        "sources": dict(header.sources),
        "notices": header.notices + own + precision_notices(header.tensors, compute_dtype=compute_dtype),
    }
