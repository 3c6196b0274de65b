"""A measured checkpoint that holds the spectra it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    Provenance,
    Scalar,
    Spectrum,
)
from tests.builders import provenance as builders


def checkpoint(
    spectra: Sequence[Spectrum] = (),
    scalars: Sequence[Scalar] = (),
    *,
    step: int | None = 1,
    run: str = "a",
    uri: str = "",
    provenance: Provenance | None = None,
    **info: Any,
) -> CheckpointSpectra:
    """Step `step` of a run; `info` are fields of its `CheckpointInfo`."""
    facts: dict[str, Any] = {"num_parameters": 1, "family": "f", "architecture": "A"}
    return CheckpointSpectra(
        ref=CheckpointRef(run=run, step=step, uri=uri or f"/{run}/{step}", format="hf"),
        info=CheckpointInfo(**(facts | info)),
        provenance=builders.provenance() if provenance is None else provenance,
        spectra=tuple(spectra),
        scalars=tuple(scalars),
    )
