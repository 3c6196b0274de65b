"""One checkpoint of a series, outlined from its header."""

from __future__ import annotations

from typing import Any

from spectra_cli.core.training import TRAINING_VALUES
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
        "notices": header.notices + own + precision_notices(header.tensors, compute_dtype=compute_dtype),
        **training_of(header, model),
    }


def training_of(header: CheckpointHeader, model: Model) -> dict[str, Any]:
    """What a header says of the training, and the facts of its model, by field of `TrainingMetadata`;
    notices apart.
    """
    return {name: getattr(header, name) for name in TRAINING_VALUES} | {
        "facts": {**header.facts, **facts_of(model)},
        "sources": {**header.sources, **sources_of(model)},
    }
