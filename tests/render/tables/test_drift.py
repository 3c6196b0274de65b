"""The tables of drift, from reports made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from spectra_cli.analysis.drift.change import NO_LIFT, ChangeReading, Lift
from spectra_cli.analysis.drift.over_series import DriftReport
from spectra_cli.analysis.drift.pairs import Change, CheckpointPair, RankDrift, SiteDrift
from spectra_cli.analysis.subspaces import Cut, Rotation
from spectra_cli.core.types import CheckpointRef, ProbeInfo, Provenance, Site
from spectra_cli.render.outputs.drift import COLUMNS, tidy_rows
from spectra_cli.render.tables.drift import heading, kinds_table, matrices_table, series_table, verdicts


def side(degrees):
    return Rotation(angles=np.radians([degrees]), dimension=50)


def rank(*, taken=16, well_defined=True, reason="", **changes):
    known = {
        "cut": Cut(asked=16, rank=taken, gap=0.2, well_defined=well_defined, reason=reason),
        "left": side(12.34),
        "right": side(1e-6),
        "sine_bound": 0.5,
        "energy_share": 0.1,
        "energy": Lift(value=1234.5, noise=0.25),
        "reading": ChangeReading.OFF,
    }
    return RankDrift(**known | changes)


def site(address, *ranks, shift=0.0123, **changes):
    known = {
        "relative": 0.1,
        "visible_share": 0.5,
        "visible_share_float32": 0.6,
        "mask_principal": Lift(value=0.5, noise=0.01),
        "mask_small": Lift(value=1.5, noise=math.nan),
        "mask_principal_not_small": NO_LIFT,
    }
    layer, _, component = address.partition(".")
    return SiteDrift(
        site=Site(layer=int(layer), component=component),
        measurement="weight",
        shift=shift,
        ranks=ranks,
        change=Change(**known | changes),
    )


def report(*sites, ranks=(16,)):
    return DriftReport(
        path=Path("a.h5"),
        provenance=Provenance(
            settings={"reference": "step0"} if ranks else {}, probe=ProbeInfo(), versions={}
        ),
        refs=tuple(CheckpointRef(run="a", step=step, uri="", format="") for step in (0, 10)),
        ranks=ranks,
        num_vectors=64 if ranks else 0,
        pairs=(CheckpointPair(before="step0", after="step10", against="first", sites=sites),),
        similarity={},
        similarity_rank=16,
        notices=("something to know",),
    )


def test_the_reading_in_words_with_its_count(printed):
    undecided = site("2.attn.q", rank(reading=ChangeReading.UNDECIDED))
    found = report(site("0.attn.q", rank()), site("1.attn.q", rank()), undecided)
    text = printed(*heading(found), *verdicts(found), series_table(found))
    assert "something to know" in text
    assert "step0 to step10, k = 16: stays off the principals (of 3 matrices: 2 off, 1 undecided)" in text


def test_marks_of_a_cut_and_of_small_angles(printed):
    found = report(
        site("0.attn.q", rank(taken=13, reason="the gap at 16")), site("0.mlp.up", rank(well_defined=False))
    )
    text = printed(*matrices_table(found, found.pairs[0]))
    assert "16*" in text
    assert "<1e-4" in text  # rounding of float32 vectors
    assert "1.23e+03±0.25" in text
    assert "k is not 16 in 1 of 2" in text
    assert "no turning lift" in text


def test_a_zero_weight_is_named_and_counts_nowhere(printed):
    found = report(site("0.attn.q", rank()), site("0.attn.o", shift=math.nan, mask_principal=NO_LIFT))
    text = printed(*kinds_table(found, found.pairs[0], 0))
    assert "zero at step0, so without directions: 0.attn.o" in text
    assert "all" not in text.split("\n\n")[0].split()


def test_every_mean_over_the_series_is_of_the_same_matrices(printed):
    """attn.o is zero at the first checkpoint, so that only pairs of later ones have a number of it."""
    zero = site("0.attn.o", shift=math.nan)
    found = report(site("0.attn.q", rank(), shift=0.02), zero)
    (first,) = found.pairs
    later = (site("0.attn.q", rank(), shift=0.03), site("0.attn.o", rank(), shift=0.9))
    previous = replace(first, against="previous")
    found = replace(
        found,
        refs=(*found.refs, replace(found.refs[0], step=20)),
        pairs=(first, previous, replace(previous, before="step10", after="step20", sites=later)),
    )
    text = printed(series_table(found))
    assert "0.030" in text
    assert "0.4" not in text  # nor the mean of both
    assert "means over the 1 matrix with a number in every pair; not over 0.attn.o" in text


def test_how_many_matrices_a_mean_is_of(printed):
    rows = site("0.attn.q", rank()), site("1.attn.q", rank(), shift=math.nan)
    found = report(*rows)
    assert "1 of 2" in printed(*kinds_table(found, found.pairs[0], 0))


def test_without_vectors_only_the_shift_stands(printed):
    found = report(site("0.attn.q", relative=math.nan), ranks=())
    text = printed(
        *matrices_table(found, found.pairs[0]), *kinds_table(found, found.pairs[0], 0), *verdicts(found)
    )
    assert "0.012" in text
    assert "reading" not in text
    (row,) = tidy_rows(found)
    assert row.keys() >= set(COLUMNS)
    assert (row["spectral_shift"], row["rank"], row["left_overlap"]) == (0.0123, None, None)
