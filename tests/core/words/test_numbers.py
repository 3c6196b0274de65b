"""Shown numbers are the true ones, rounded: never further off than half a unit of the last shown digit."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.errors import UsageError
from spectra_cli.core.words.numbers import count, loss, memory_bytes, size, with_error

values = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
errors = st.floats(min_value=0, max_value=1e9, allow_nan=False)
counts = st.one_of(
    st.integers(0, 2**63), st.builds(lambda k, d: max(0, 10**k + d), st.integers(0, 15), st.integers(-9, 9))
)


def is_rounded(shown: str, true: float) -> bool:
    """Whether `shown` is `true` to within half a unit of its last digit (1e-12: of the float itself)."""
    decimal = Decimal(shown)
    exponent = decimal.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal(5).scaleb(exponent - 1)
    return abs(decimal - Decimal(true)) <= half + abs(Decimal(true)) * Decimal("1e-12")


@given(values, errors)
def test_a_value_and_its_error_are_rounded_right(value, stderr):
    shown, _, shown_error = with_error(value, stderr).partition("±")
    assert is_rounded(shown, value)
    # "±0" stands for an error in the last bits of the value
    assert is_rounded(shown_error, stderr) or (shown_error == "0" and stderr <= 1e-9 * abs(value))


@given(values)
def test_a_value_without_error_is_rounded_right(value):
    shown = with_error(value, math.nan)
    assert "±" not in shown
    assert is_rounded(shown, value)


@given(st.floats(1e-2, 1e4), st.floats(1e-4, 1.0))
def test_an_error_keeps_one_or_two_digits_and_the_value_as_many_places(value, relative):
    shown, _, shown_error = with_error(value, value * relative).partition("±")
    digits = Decimal(shown_error).as_tuple()
    assert 1 <= len(str(int("".join(map(str, digits.digits))))) <= 2 or digits.exponent == 0
    assert Decimal(shown).as_tuple().exponent == digits.exponent


def test_no_value_is_a_dash():
    assert with_error(math.nan, math.nan) == "-"
    assert with_error(math.inf, 1.0) == "-"


@given(counts)
def test_a_count_is_within_half_a_unit_and_short(number):
    text = count(number)
    factor = {"k": 3, "M": 6, "B": 9, "T": 12}.get(text[-1], 0)
    shown = text.rstrip("kMBT")
    assert is_rounded(shown, number / 10**factor)
    assert number >= 10**15 or len(shown) <= 4  # 1.31, 999, 1000
    assert "e" not in shown  # no exponent in a table


def test_an_unknown_count_size_or_loss_is_a_dash():
    assert (count(None), size(None), loss(None)) == ("-", "-", "-")


@given(st.integers(0, 2**50))
def test_a_size_is_within_half_a_unit(num_bytes):
    shown, unit = size(num_bytes).split()
    power = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
    assert is_rounded(shown, num_bytes / 2**power)


@given(st.floats(0, 1e4))
def test_a_loss_has_four_decimals(nats):
    assert is_rounded(loss(nats), nats)
    assert len(loss(nats).partition(".")[2]) == 4


@given(st.integers(10**6, 2**40))
def test_a_plain_number_is_bytes(number):
    assert memory_bytes(str(number)) == number
    assert memory_bytes(f"{number}B") == number


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("1KB", 1000),
        ("1KiB", 1024),
        ("2 MiB", 2 * 2**20),
        ("3gib", 3 * 2**30),
        ("1TB", 10**12),
        ("0.5K", 500),
    ],
)
def test_units_of_memory(words, expected):
    assert memory_bytes(words) == expected


@pytest.mark.parametrize("words", ["", "much", "-1GB", "8 GiB free", "1XB", "GiB", "8", "8B", "24", "999999"])
def test_a_size_that_is_none_is_refused_with_an_example(words):
    with pytest.raises(UsageError, match="8GiB"):
        memory_bytes(words)
