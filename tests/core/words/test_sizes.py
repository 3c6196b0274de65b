from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.errors import UsageError
from spectra_cli.core.words.sizes import memory_bytes


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
