"""CSV: numbers to the last bit, and cells that nothing acts on."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.render.forms.csv import as_csv


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_to_the_last_bit(number):
    cell = as_csv([{"value": number}], columns=("value",)).splitlines()[1]
    assert float(cell).hex() == number.hex()


def test_a_missing_value_is_an_empty_cell_and_what_is_no_column_is_left_out():
    text = as_csv([{"a": None, "b": 0, "details": {"c": 1}}], columns=("a", "b"))
    assert list(csv.DictReader(io.StringIO(text))) == [{"a": "", "b": "0"}]
