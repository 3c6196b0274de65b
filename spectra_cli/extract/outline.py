"""One checkpoint of a series, outlined from its header."""

from __future__ import annotations

from typing import Any

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.models.parameters import num_parameters
from spectra_cli.extract.session import Series, build_skeleton


def outline_checkpoint(series: Series, ref: CheckpointRef) -> dict[str, Any]:
    """What the header of `ref` says, with its parameters counted on the meta device.

    Checkpoints whose tensors have the names and shapes of the series' first one share its skeleton.

    Raises:
        CheckpointError, ModelError: it could not be scanned, and why.
    """
    header = series.source.header(ref)
    same = header.tensors == series.first.tensors and header.config == series.first.config
    model = series.skeleton if same else build_skeleton(header)
    return {
        "ref": ref,
        "architecture": model.architecture,
        "num_parameters": num_parameters(model),
        "num_bytes": header.num_bytes,
        "tokens_seen": header.tokens_seen,
        "train_loss": header.train_loss,
        "eval_loss": header.eval_loss,
        "notices": header.notices,
    }
