"""Which ranks are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.render.report.thinning import POINTS, kept_ranks, spaced_ranks


@pytest.mark.parametrize("size", [1, 2, 31, 64, 768, 50_000])
def test_ranks_are_spaced_in_their_logarithm_with_both_ends(size):
    ranks = spaced_ranks(size)
    assert (ranks[0], ranks[-1]) == (1, size)
    assert ranks.size <= POINTS
    assert (np.diff(ranks) > 0).all()
    gaps = np.diff(np.log(ranks))
    assert gaps[ranks[:-1] > 30].size == 0 or np.ptp(gaps[ranks[:-1] > 30]) < 0.1


def test_windows_of_fits_are_whole():
    kept = set(kept_ranks(768, [(1, 10), (30, 150)]).tolist())
    assert {*range(1, 11), *range(30, 151), *spaced_ranks(768).tolist()} == kept


def test_a_window_beyond_the_spectrum_ends_with_it():
    assert kept_ranks(20, [(15, 40)])[-1] == 20
