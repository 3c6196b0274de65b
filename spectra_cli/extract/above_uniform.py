"""A probe loss above that of uniform guesses: most often the tokens are not the model's."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from spectra_cli.core.types import Scalar

# Standard errors beyond ln V from which on the loss is called above it.
_ERRORS = 3.0


def above_uniform(scalars: Iterable[Scalar], *, vocab_size: int) -> str:
    """What to say of the probe loss where it exceeds `ln V` by three standard errors; empty where not.

    Args:
        scalars: of a checkpoint; `probe_loss` with its delete-one-block values is looked for.
        vocab_size: V.

    >>> loss = Scalar(name="probe_loss", site=None, measurement="probe", value=8.0, unit="nats/token")
    >>> above_uniform([loss], vocab_size=4000)
    ''
    >>> above_uniform([loss], vocab_size=1000)[:62]
    'probe loss 8.00 is above that of uniform guesses, ln 1000 = 6.'
    """
    found = next((scalar for scalar in scalars if scalar.name == "probe_loss"), None)
    uniform = math.log(vocab_size)
    if found is None or not math.isfinite(found.value):
        return ""
    if found.value - _ERRORS * _standard_error(found) <= uniform:
        return ""
    return (
        f"probe loss {found.value:.2f} is above that of uniform guesses, ln {vocab_size} = {uniform:.2f}: "
        "the tokens are not those the model was trained on (another tokenizer, or ids of another "
        "vocabulary), or it is damaged or untrained"
    )


def _standard_error(loss: Scalar) -> float:
    """Of the delete-one-block jackknife; 0 without blocks."""
    without = np.asarray(loss.delete_one_block)
    number = without.size
    return float(np.sqrt((number - 1) * without.var())) if number > 1 else 0.0
