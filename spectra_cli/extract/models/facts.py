"""A model's facts as an archive keeps them: under `model.NAME`, beside what the user says of the run."""

from __future__ import annotations

from collections.abc import Mapping

from spectra_cli.core.types import MODEL_FACT
from spectra_cli.extract.protocols import Model


def facts_of(model: Model) -> Mapping[str, str]:
    """`model.NAME` -> value."""
    return {f"{MODEL_FACT}{name}": fact.value for name, fact in model.facts.items()}


def sources_of(model: Model) -> Mapping[str, str]:
    """`model.NAME` -> what says so."""
    return {f"{MODEL_FACT}{name}": fact.source for name, fact in model.facts.items()}
