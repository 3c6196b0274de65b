"""A probe loss that only wrong tokens, or a model that knows nothing, explain."""

import math

import numpy as np
import pytest

from spectra_cli.core.types import Scalar, Status
from spectra_cli.extract.above_uniform import above_uniform


def loss(value, without=()):
    return Scalar(
        name="probe_loss",
        site=None,
        measurement="probe",
        value=value,
        status=Status.OK if math.isfinite(value) else Status.NONFINITE,
        unit="nats/token",
        delete_one_block=np.array(without),
        block_sizes=(4,) * len(without),
    )


def test_the_loss_of_the_wrong_tokenizer_is_said_to_be_above_uniform():
    said = above_uniform([loss(7.37)], vocab_size=1024)
    assert said.startswith("probe loss 7.37 is above that of uniform guesses, ln 1024 = 6.93: the tokens")
    assert above_uniform([loss(6.93)], vocab_size=1024) == ""


@pytest.mark.parametrize(("spread", "is_said"), [(0.01, True), (0.2, False)])
def test_its_standard_error_is_taken_into_account(spread, is_said):
    """Two delete-one values x -+ s have the standard error sqrt(1/2 * 2 s^2) = s; three of them count."""
    value = math.log(1024) + 0.3
    found = loss(value, (value - spread, value + spread))
    assert bool(above_uniform([found], vocab_size=1024)) is is_said


def test_a_loss_that_is_none_is_not_judged():
    assert above_uniform([], vocab_size=8) == ""
    assert above_uniform([loss(math.nan)], vocab_size=8) == ""
