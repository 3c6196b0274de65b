"""One checkpoint of a series, outlined from its header."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.checkpoints.tensors.stored_precision import precision_notices
from spectra_cli.extract.models.facts import facts_of, sources_of
from spectra_cli.extract.models.parameters import num_parameters
from spectra_cli.extract.protocols import CheckpointHeader, Model
from spectra_cli.extract.series.opened import Series


def outline_header(
    series: Series, header: CheckpointHeader, model: Model, *, compute_dtype: str
) -> dict[str, Any]:
    """What a header of the series says, with the parameters of its model counted, and what a scan in
    `compute_dtype` would note about it; notices of its model only where the series' first lacks them.
    """
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
        "facts": {**header.facts, **facts_of(model)},
        "sources": {**header.sources, **sources_of(model)},
        "notices": header.notices + own + precision_notices(header.tensors, compute_dtype=compute_dtype),
    }
