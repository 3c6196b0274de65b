"""A table made to fit: nothing of a number or a name is ever cut, and what is left out is told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.render.forms.fitting import fitted
from spectra_cli.render.table import Table, key, number, words
from spectra_cli.render.text.wrapping import width

WIDE = [f"{value:.4f}±0.0123" for value in range(100, 112)]


def text_of(table: Table, room: int) -> list[str]:
    return [one.text for one in fitted(table, room)]


def rows_of(lines: list[str], first: str) -> list[str]:
    return [each for each in lines if each.startswith(first)]


def test_a_table_that_fits_is_drawn_as_it_is():
    table = Table(title="t", columns=[key("a"), number("n\nof it")], rows=[["x", "1.5"], ["yy", "22.5"]])
    assert text_of(table, 60) == [
        "",
        "t",
        "         n",
        "a    of it",
        "──────────",
        "x      1.5",
        "yy    22.5",
    ]


def test_space_between_columns_goes_first_then_heads_break():
    table = Table(columns=[key("a"), number("one head")], rows=[["x" * 8, "1"]])
    assert text_of(table, 19)[0] == "a          one head"
    assert text_of(table, 18)[0] == "a         one head"
    assert text_of(table, 14)[:2] == ["           one", "a         head"]


@pytest.mark.parametrize("room", [60, 80, 100, 160])
def test_columns_that_do_not_fit_stand_in_further_parts_with_the_key(room):
    table = Table(columns=[key("site"), *[number(f"c{i}") for i in range(12)]], rows=[["0.attn.q", *WIDE]])
    lines = text_of(table, room)
    assert all(width(each) <= room for each in lines)
    rows = rows_of(lines, "0.attn.q")
    assert [cell for row in rows for cell in row.split()[1:]] == WIDE
    assert len(rows) == len(rows_of(lines, "site"))


def test_the_least_needed_columns_are_left_out_first_and_named():
    columns = [key("a"), number("rate", dispensable=1), number("eval\nloss", dispensable=2), number("b")]
    table = Table(columns=columns, rows=[["x" * 20, *["1" * 20] * 3]])
    assert text_of(table, 86)[-1].split() == ["x" * 20, *["1" * 20] * 3]
    *_, row, told = text_of(table, 64)
    assert row.split() == ["x" * 20, "1" * 20, "1" * 20]
    assert told == "left out for want of room: rate; to see them: --format markdown, or a wider terminal"
    assert text_of(table, 50)[-1].startswith("left out for want of room: rate, eval loss;")


def test_of_a_series_first_last_and_even_places_stand():
    steps = [number(f"{1000 * i}", is_of_series=True) for i in range(40)]
    table = Table(columns=[key("site"), *steps], rows=[["0", *[f"{i}.25" for i in range(40)]]])
    lines = text_of(table, 60)
    shown = [int(step) // 1000 for step in lines[0].split()[1:]]
    assert (shown[0], shown[-1]) == (0, 39)
    gaps = [b - a for a, b in pairwise(shown)]
    assert max(gaps) - min(gaps) <= 1
    assert lines[2].split()[1:] == [f"{i}.25" for i in shown]
    left = 40 - len(shown)
    counted = f"{len(shown)} of 40 checkpoints: first, last and evenly between"
    assert lines[-1] == f"{counted}; {left} more: --format markdown, or a wider terminal"
    # as many as the width holds: one more would not fit
    assert len(lines[0]) > 60 - 7 - 2


def test_a_long_name_goes_on_in_a_next_line():
    name = "blocks.10.mixture.experts.127.down_projection.weight"
    table = Table(columns=[key("name"), number("a"), number("b")], rows=[[name, "1.2345", "6.7890"]])
    lines = text_of(table, 40)
    assert "".join(row[:24].strip() for row in lines[2:]) == name
    assert lines[2].endswith("6.7890")


def test_wide_characters_take_two_cells():
    table = Table(columns=[key("run"), words("w")], rows=[["模型", "x"], ["abcd", "y"]])
    assert text_of(table, 60)[2:] == ["模型   x", "abcd   y"]


def test_a_row_has_a_text_for_each_column():
    with pytest.raises(ValueError, match="1 texts for 2 columns"):
        Table(columns=[key("a"), key("b")], rows=[["x"]])


@given(
    st.lists(
        st.lists(st.sampled_from(["1.5", "12.345±0.0067", "-", "", "1e-12"]), min_size=9, max_size=9),
        min_size=1,
        max_size=4,
    ),
    st.integers(60, 170),
    st.text(min_size=1, max_size=70),
)
def test_every_number_is_there_whole_and_no_line_is_too_wide(rows, room, name):
    columns = [key("name"), *[number(f"a heading {i}") for i in range(9)]]
    lines = text_of(Table(columns=columns, rows=[[name, *row] for row in rows]), room)
    assert all(width(each) <= room for each in lines)
    words_there = " ".join(lines).split()
    for number_text in {cell for row in rows for cell in row if cell}:
        assert words_there.count(number_text) >= sum(row.count(number_text) for row in rows)
