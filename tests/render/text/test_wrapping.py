from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.render.text.wrapping import spans, width, wrapped


@given(st.text(alphabet="ab 1.±模é", max_size=80), st.integers(2, 30), st.integers(0, 1))
def test_no_line_is_too_wide_and_nothing_but_blanks_is_lost(text, room, hang):
    lines = [text[start:end] for start, end in spans(text, room, hang)]
    assert width(lines[0]) <= room
    assert all(width(each) <= max(room - hang, 2) for each in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_words_stay_whole_where_they_fit():
    assert wrapped("12.345±0.006 of 7 layers", 12) == ["12.345±0.006", "of 7 layers"]


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("share of 26 % here", 11, ["share of", "26 % here"]),
        ("it is 1.5 ± 0.2 now", 13, ["it is", "1.5 ± 0.2 now"]),
        ("1.5 ± 0.2", 5, ["1.5 ±", "0.2"]),  # no number is broken where the whole has no room
    ],
)
def test_a_number_keeps_its_per_cent_sign_and_its_error(text, room, lines):
    assert wrapped(text, room) == lines


@pytest.mark.parametrize("text", ["a  b", "", "  indented"])
def test_a_text_that_fits_stays_as_it_is(text):
    assert wrapped(text, 20) == [text]
