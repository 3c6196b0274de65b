"""How many parameters a model has."""

from __future__ import annotations

from spectra_cli.extract.protocols import Model


def num_parameters(model: Model) -> int:
    """Distinct parameters of `model`, tied ones once; also on the meta device."""
    distinct = {id(parameter): parameter.numel() for parameter in model.module.parameters()}
    return sum(distinct.values())
