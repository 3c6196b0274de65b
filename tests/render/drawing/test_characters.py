"""Figures in characters: within their width, at their places, in ASCII where that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.render.drawing.characters import chart
from spectra_cli.render.figures.figure import (
    Axis,
    Ink,
    Look,
    Panel,
    Scale,
    Series,
    Window,
    WindowKind,
)
from tests.render.drawing.test_matplotlib import everything


def power_law(exponent: float = 1.0, **changes) -> Panel:
    ranks = np.arange(1.0, 1001.0)
    line = Series(x=ranks, y=ranks**-exponent, ink=Ink(), label="a")
    axes = {"x": Axis(label="rank", log=True), "y": Axis(label="eigenvalue, unit²", log=True)}
    return Panel(title="spectrum", series=[line], **axes, **changes)


def rows_of(panel: Panel, scale: Scale | None = None, *, plain: bool, width: int = 80, height: int = 20):
    return [one.text for one in chart(panel, scale, width=width, height=height, plain=plain)]


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_line_is_wider_than_asked_for_and_no_more_lines_than_asked_for(width, plain):
    figure = everything()
    for panel in figure.panels:
        rows = rows_of(panel, figure.scale, plain=plain, width=width)
        assert max(map(len, rows[1:])) <= max(width, len(rows[-1]))
        assert len(rows) <= 20


def test_plain_is_ascii():
    rows = rows_of(power_law(windows=[Window(low=2, high=9, label="α 1±0", kind=WindowKind.FIT)]), plain=True)
    assert all(row.isascii() for row in rows)
    assert rows[-1] == "  alpha 1+-0"


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_a_power_law_is_a_straight_line_between_the_corners(exponent):
    rows = rows_of(power_law(exponent), plain=False)
    cells = [row.partition("│")[2] for row in rows if "│" in row]
    ends = [
        (min(places), max(places)) for row in cells if (places := [i for i, c in enumerate(row) if c != " "])
    ]
    assert len(ends) == len(cells)
    middle = [(first + last) / 2 for first, last in ends]
    assert ends[0][0] == 0
    assert ends[-1][1] == max(last for _, last in ends)
    steps = np.diff(middle[1:-1])
    assert np.ptp(steps) <= 2


def test_ticks_stand_where_their_numbers_are():
    rows = rows_of(power_law(), plain=False, width=100, height=25)
    cells = [row for row in rows if "│" in row]
    bar = cells[0].index("│")
    labels = {row[:bar].strip(): place for place, row in enumerate(cells) if row[:bar].strip()}
    assert set(labels) == {"1", "0.1", "0.01", "1e-3"}
    assert (labels["1"], labels["1e-3"]) == (0, len(cells) - 1)
    numbers = rows[len(cells) + 2]
    columns = len(rows[len(cells) + 1]) - bar - 1
    assert numbers.index("100") + 1 - bar - 1 == pytest.approx(2 / 3 * (columns - 1), abs=1)


def test_lines_are_told_apart_by_letter_and_by_colour():
    x = np.array([0.0, 1.0])
    lines = [
        Series(x=x, y=x + place, ink=Ink(category=place), look=Look.BOTH, label=f"run{place}")
        for place in range(3)
    ]
    panel = Panel(title="t", x=Axis(label="step"), y=Axis(label="y"), series=lines)
    plain = rows_of(panel, plain=True)
    assert plain[-1].split() == ["o", "run0", "x", "run1", "+", "run2"]
    for letter in "ox+":
        assert sum(row.partition("|")[2].count(letter) for row in plain[1:-4]) >= 1
    coloured = chart(panel, None, width=80, height=20, plain=False)
    styles = {style for row in coloured for _, style in row.pieces}
    assert len(styles & {"bright_blue", "yellow", "magenta"}) == 3


@pytest.mark.parametrize(("place", "word"), [(0.0, "0"), (614_400.0, "614.4k")])
def test_one_checkpoint_has_one_tick(place, word):
    alone = Series(x=np.array([place]), y=np.array([2.0]), ink=Ink(), look=Look.BOTH)
    panel = Panel(title="t", x=Axis(label="tokens"), y=Axis(label="y"), series=[alone])
    rows = rows_of(panel, plain=True)
    (below,) = [number for number, row in enumerate(rows) if "+---" in row]
    assert rows[below + 1].split() == [word]


def test_what_cannot_be_read_is_hatched():
    window = Window(low=100, high=1000, label="withheld", kind=WindowKind.UNREADABLE)
    for plain, mark in ((True, "/"), (False, "░")):
        rows = rows_of(power_law(windows=[window]), plain=plain)
        assert mark in rows[3]
        assert "withheld" in rows[-1]


def test_a_panel_without_a_number_says_so():
    empty = Panel(title="t", x=Axis(label="step"), y=Axis(label="y"))
    assert rows_of(empty, plain=True) == ["t", "no value to draw"]


@pytest.mark.parametrize(("low", "high"), [(3.0, 3.0), (0.0, 0.0), (-5.0, 5.0), (1e-12, 3e-12), (1e9, 9e9)])
def test_any_range_has_two_ticks_or_more(low, high):
    values = Series(x=np.array([0.0, 1.0]), y=np.array([low, high]), ink=Ink())
    panel = Panel(title="t", x=Axis(label="step"), y=Axis(label="y"), series=[values])
    cells = [row for row in rows_of(panel, plain=True) if "|" in row]
    assert sum(bool(row.partition("|")[0].strip()) for row in cells) >= 2
