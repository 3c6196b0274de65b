"""The tables of a drift document, from documents made by hand."""

from __future__ import annotations

import pytest

from spectra_cli.render.drift import COLUMNS, tidy_rows
from spectra_cli.render.tables.drift import heading, kinds_table, matrices_table, series_table, verdicts


def side(**changes):
    return {
        "overlap": 0.9,
        "turned": 0.1,
        "chance": 0.02,
        "mean_degrees": 12.34,
        "max_degrees": 40.0,
    } | changes


def rank(**changes):
    return {
        "asked": 16,
        "rank": 16,
        "gap": 0.2,
        "status": "ok",
        "reason": "",
        "left": side(),
        "right": side(mean_degrees=1e-6),
        "sine_bound": 0.5,
        "sampling_turn": None,
        "energy_share": 0.1,
        "energy_lift": {"value": 1234.5, "noise": 0.25},
        "rotation_lift": None,
        "reading": "stays off the principals",
    } | changes


def site(address, *ranks, **changes):
    return {
        "measurement": "weight",
        "site": f"blocks.{address}",
        "layer": 0,
        "component": address.partition(".")[2],
        "spectral_shift": 0.0123,
        "relative_change": 0.1,
        "visible_share": 0.5,
        "visible_share_float32": 0.6,
        "mask_lift_principal": {"value": 0.5, "noise": 0.01},
        "mask_lift_small": {"value": 1.5, "noise": None},
        "mask_lift_principal_not_small": None,
        "ranks": list(ranks),
    } | changes


def document(*sites, ranks=(16,)):
    pair = {
        "against": "first",
        "before": "step0",
        "after": "step10",
        "readings": ["stays off the principals" for _ in ranks],
        "missing": [],
        "sites": list(sites),
    }
    return {
        "checkpoints": ["step0", "step10"],
        "num_vectors": 64 if ranks else 0,
        "reference": "step0" if ranks else None,
        "ranks": list(ranks),
        "notices": ["something to know"],
        "pairs": [pair],
        "similarity": {"rank": 16, "last": "step10", "checkpoints": []},
    }


def test_the_reading_in_words_with_its_count(printed):
    found = document(site("0.attn.q", rank()), site("1.attn.q", rank(reading="undecided")))
    text = printed(*heading(found, "a.h5"), *verdicts(found), series_table(found))
    assert "something to know" in text
    assert "step0 to step10, k = 16: stays off the principals (of 2 matrices: 1 off, 1 undecided)" in text


def test_marks_of_a_cut_and_of_small_angles(printed):
    found = document(
        site("0.attn.q", rank(rank=13, reason="the gap at 16")), site("0.mlp.up", rank(status="partial"))
    )
    text = printed(matrices_table(found, "first", 0))
    assert "16*" in text
    assert "<1e-4" in text  # rounding of float32 vectors
    assert "1.23e+03±0.25" in text
    assert "k is not 16 in 1 of 2" in text
    assert "no turning lift" in text


def test_a_zero_weight_is_named_and_counts_nowhere(printed):
    found = document(
        site("0.attn.q", rank()), site("0.attn.o", spectral_shift=None, mask_lift_principal=None)
    )
    text = printed(kinds_table(found, "first", 0))
    assert "zero at step0, so without directions: 0.attn.o" in text
    assert "all" not in text.split("\n\n")[0].split()


def test_every_mean_over_the_series_is_of_the_same_matrices(printed):
    """attn.o is zero at the first checkpoint, so that only pairs of later ones have a number of it."""
    zero = site("0.attn.o", spectral_shift=None)
    found = document(site("0.attn.q", rank(), spectral_shift=0.02), zero)
    (first,) = found["pairs"]
    found["checkpoints"] = ["step0", "step10", "step20"]
    later = [site("0.attn.q", rank(), spectral_shift=0.03), site("0.attn.o", rank(), spectral_shift=0.9)]
    found["pairs"] = [
        first,
        first | {"against": "previous"},
        first | {"against": "previous", "before": "step10", "after": "step20", "sites": later},
    ]
    text = printed(series_table(found))
    assert "0.030" in text
    assert "0.4" not in text  # nor the mean of both
    assert "means over the 1 matrices with a number in every pair; not over 0.attn.o" in text


def test_how_many_matrices_a_mean_is_of(printed):
    rows = site("0.attn.q", rank()), site("1.attn.q", rank(), spectral_shift=None)
    assert "1 of 2" in printed(kinds_table(document(*rows), "first", 0))


def test_without_vectors_only_the_shift_stands(printed):
    found = document(site("0.attn.q", relative_change=None), ranks=())
    found["pairs"][0]["readings"] = []
    text = printed(matrices_table(found, "first", 0), kinds_table(found, "first", 0), *verdicts(found))
    assert "0.012" in text
    assert "reading" not in text
    (row,) = tidy_rows(found)
    assert row.keys() >= set(COLUMNS)
    assert (row["spectral_shift"], row["rank"], row["left_overlap"]) == (0.0123, None, None)


@pytest.mark.parametrize("against", ["previous", "first"])
def test_a_pair_that_is_not_there_has_no_tables(against):
    found = document()
    assert kinds_table(found, against, 0) is None
    assert matrices_table(found, against, 0) is None
