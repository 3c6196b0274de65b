"""JSON: numbers to the last bit, and no NaN."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.words.numbers import finite
from spectra_cli.render.forms.json import as_json


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_survive_to_the_last_bit(number):
    kept = finite(number)
    assert (kept is not None) == math.isfinite(number)
    if kept is not None:
        assert float(json.loads(as_json({"value": kept}))["value"]).hex() == number.hex()


def test_json_refuses_a_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"value": math.nan})
