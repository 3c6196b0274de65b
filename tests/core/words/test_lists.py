from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.errors import UsageError
from spectra_cli.core.words.lists import integers


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_a_list_of_integers_is_itself(numbers):
    assert integers(",".join(map(str, numbers)), "--step") == tuple(numbers)


@given(st.integers(0, 1000), st.integers(0, 50))
def test_a_range_holds_both_ends(first, length):
    assert integers(f"{first}-{first + length}", "--step") == tuple(range(first, first + length + 1))


@pytest.mark.parametrize("words", ["", "a", "1,,2", "1-x", "1.5"])
def test_a_list_that_is_none_names_its_flag(words):
    with pytest.raises(UsageError, match="--layer"):
        integers(words, "--layer")


@pytest.mark.parametrize("words", ["6-3", "0,9-8"])
def test_a_range_that_runs_backwards_is_refused(words):
    with pytest.raises(UsageError, match=r"--layer .* runs backwards"):
        integers(words, "--layer")


def test_nothing_given_is_nothing_asked():
    assert integers(None, "--step") is None
