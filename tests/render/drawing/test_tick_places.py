"""Ticks: any range has two numbers or more, a single place one."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure as Page

from spectra_cli.render.drawing.panels import draw_panel
from spectra_cli.render.drawing.style import STYLES
from spectra_cli.render.drawing.tick_places import place_ticks
from spectra_cli.render.figures.figure import Axis, Ink, Look, Panel, Series


def numbers(ends, **settings):
    """The ticks within the ends, and their words."""
    page = Page()
    ax = page.add_subplot()
    ax.set(yscale="log" if settings["log"] else "linear", ylim=ends)
    place_ticks(ax.yaxis, ends, **settings)
    page.draw_without_rendering()
    places = [place for place in ax.get_yticks() if ends[0] <= place <= ends[1]]
    words = [ax.yaxis.get_major_formatter()(place, None) for place in places]
    return {place: word for place, word in zip(places, words, strict=True) if word}


@pytest.mark.parametrize(
    "ends",
    [
        (0.02, 0.4),
        (0.2, 0.9),
        (9.0, 11.5),
        (3.0, 4.0),
        (5.0, 60.0),
        (1e-9, 1e-2),
        (0.99, 1.01),
        (2e-7, 1.9e-6),
    ],
)
def test_a_logarithmic_range_has_two_numbers_or_more(ends):
    found = numbers(ends, log=True)
    assert 2 <= len(found) <= 10
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3.0, 4.0), (1e6, 9e6)])
def test_any_other_range_too(ends):
    assert len(numbers(ends, log=False)) >= 2


def test_whole_numbers_alone_where_there_are_no_others():
    assert list(numbers((0.0, 3.0), log=False, whole=True)) == [0.0, 1.0, 2.0, 3.0]


def test_a_panel_of_one_checkpoint_has_one_tick():
    ax = Page().add_subplot()
    alone = Series(x=np.zeros(1), y=np.ones(1), ink=Ink(), look=Look.BOTH)
    draw_panel(
        Panel(title="t", x=Axis(label="tokens"), y=Axis(label="y"), series=[alone]), ax, STYLES["paper"]
    )
    assert list(ax.get_xticks()) == [0.0]


def test_a_single_place_has_the_only_tick():
    assert numbers((-0.05, 0.05), log=False, only=0.0) == {0.0: "0"}
    assert numbers((80_000.0, 120_000.0), log=True, only=100_000.0) == {100_000.0: "100k"}
