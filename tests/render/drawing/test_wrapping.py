"""Words in lines: nothing is lost, nothing is wider than its room."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure as Page

from spectra_cli.render.drawing.wrapping import inches, refit_words, wrapped
from spectra_cli.render.figures.figure import Axis, Panel

LONG = "trainer-gpt2-medium-lr3e-4-warmup2000-cosine-seed1337-rerun-after-the-crash_final.v2"
SENTENCE = f"The checkpoints nearest to equal loss: {LONG} at step300, muon{'n' * 90} at step100."


@pytest.fixture
def page():
    return Page(figsize=(3.3, 2.0), dpi=200)


@pytest.mark.parametrize("room", [0.5, 1.0, 3.2])
@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_no_line_is_wider_than_its_room_and_no_letter_is_lost(page, room, weight):
    lines = wrapped(page, SENTENCE, room, size=7.0, weight=weight)
    assert max(inches(page, line, size=7.0, weight=weight) for line in lines) <= room
    assert "".join(lines).replace(" ", "") == SENTENCE.replace(" ", "")


def test_a_name_is_broken_after_a_sign_that_parts_it(page):
    first, second = wrapped(page, "a" * 20 + "-" + "b" * 20, 1.6, size=7.0)
    assert (first, second) == ("a" * 20 + "-", "b" * 20)


def test_a_letter_stands_in_a_line_however_narrow_it_is(page):
    assert wrapped(page, "wide", 0.01, size=7.0) == list("wide")


def test_titles_and_labels_end_where_their_axes_or_the_page_do(page):
    left, right = page.add_axes((0.2, 0.3, 0.25, 0.4)), page.add_axes((0.7, 0.3, 0.25, 0.4))
    left.set(xlabel="a label that is longer than its axis is", ylabel="another one\nthat is far too long")
    for ax in (left, right):
        ax.set_title(LONG, loc="left", fontsize=7)
    panel = Panel(
        title=LONG,
        x=Axis(label="a label that is longer than its axis is"),
        y=Axis(label="another one that is far too long"),
    )
    plain = Panel(title=LONG, x=Axis(label=""), y=Axis(label=""))
    assert refit_words(page, {left: panel, right: plain})
    renderer = page.canvas.get_renderer()
    for ax, end in ((left, right.get_window_extent(renderer).x0), (right, page.bbox.x1)):
        assert ax._left_title.get_window_extent(renderer).x1 <= end
        assert ax.get_title(loc="left").replace("\n", "") == LONG
    slack = 0.11 * page.dpi
    assert left.xaxis.label.get_window_extent(renderer).width <= left.bbox.width + slack
    assert left.yaxis.label.get_window_extent(renderer).height <= left.bbox.height + slack
    assert not refit_words(page, {left: panel, right: plain})


def test_what_has_room_is_left_as_it_is(page):
    ax = page.add_axes((0.2, 0.3, 0.7, 0.5))
    ax.plot(np.arange(3.0))
    ax.set(xlabel="rank", ylabel="value")
    ax.set_title("t", loc="left")
    assert not refit_words(page, {ax: Panel(title="t", x=Axis(label="rank"), y=Axis(label="value"))})
