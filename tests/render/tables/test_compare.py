"""Tables of a comparison: within the width, the strongest first, with what is flagged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.compare.quantities import statistic_words
from spectra_cli.analysis.compare.rotations import SiteRotation
from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.analysis.run import Axis
from spectra_cli.analysis.subspaces import Rotation
from spectra_cli.core.types import Site
from spectra_cli.core.words.numbers import target_words
from spectra_cli.render.tables.compare import (
    MOST_ROWS,
    alignment_table,
    heading,
    pair_tables,
    rotation_table,
    taxonomy_line,
    taxonomy_tables,
    trend_tables,
)
from spectra_cli.workflows.compare import compare

LOSSES = (8.0, 5.0, 4.0, 3.5)
STEPS = (0, 10, 20, 30)


@pytest.fixture(scope="module")
def comparison(write_run, tmp_path_factory):
    """Three runs of three sizes; the exponents of the second and third are larger."""
    folder = tmp_path_factory.mktemp("runs")
    names = []
    for i, name in enumerate(("a-run-with-a-long-name", "b", "c")):
        path = write_run(
            folder / f"{name}.spectra.h5",
            steps=STEPS,
            losses=LOSSES,
            exponents=1.0 + 0.2 * i,
            noise=0.02,
            num_layers=3,
            seed=i,
            batch_size_tokens=1024 * 2**i,
        )
        names.append(str(path))
    return compare(CompareRequest(runs=tuple(names)))


def test_everything_fits_the_width(comparison, printed):
    parts = [*heading(comparison), alignment_table(comparison)]
    for pair in comparison.pairs:
        parts += [
            *pair_tables(comparison, pair),
            *rotation_table(pair),
            *taxonomy_line(comparison, pair),
            *taxonomy_tables(comparison, pair),
        ]
    parts += trend_tables(comparison)
    text = printed(*parts)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text
    for word in (
        "A  a-run-with-a-long-name",
        "batches of 2.05k tokens",
        "matched on probe loss",
        "Trend with",
    ):
        assert word in text


def test_the_strongest_number_of_each_place_stands_once(comparison, printed):
    text = printed(*pair_tables(comparison, comparison.pairs[0]))
    rows = [line for line in text.splitlines() if line.startswith("activations ") and "/5" in line]
    assert len(rows) == 15
    assert len({tuple(line.split()[:5]) for line in rows}) == 15


def test_how_far_each_point_is_from_a_checkpoint_is_shown(comparison, printed):
    text = printed(alignment_table(comparison))
    assert "to the nearer" in text
    for point, line in zip(comparison.alignment.points, text.splitlines()[-6:-1], strict=True):
        assert float(line.split()[-1]) == pytest.approx(max(p.bracket.gap for p in point.places), rel=5e-3)


def test_the_legend_stands_once_under_the_last_pair(comparison, printed):
    first, last = (printed(*pair_tables(comparison, pair)) for pair in comparison.pairs)
    assert "? neither shown" in last
    assert "? neither shown" not in first


def test_a_long_row_is_folded_and_nothing_of_it_is_lost(comparison, printed):
    (pair, *_) = comparison.pairs
    one = next(d for d in pair.differences if not d.is_distance)
    deep = Site.parse("blocks.10.mlp.down"), Site.parse("blocks.11.mlp.down")
    long = replace(
        one, measurement="gradient_matrix", site=deep[0], other=deep[1], statistic="tail_exponent_scaled_frac"
    )
    text = printed(*pair_tables(comparison, replace(pair, differences=(long,))))
    assert "…" not in text
    words = " ".join(text.split())
    for word in ("uncentred", "gradients", "layer", "10|11", "mlp.down", "α tail scaled", "frac", " 1/1"):
        assert word in words


def test_a_flag_stands_under_the_verdict(comparison, printed):
    flagged = replace(comparison.pairs[0], notes=("measured differently (dtype): x in a, y in b",))
    assert "measured differently (dtype)" in printed(*pair_tables(comparison, flagged))


def test_rotations_or_why_there_are_none(comparison, printed):
    pair = comparison.pairs[0]
    assert "none shown: different initialisation" in " ".join(printed(*rotation_table(pair)).split())
    one = SiteRotation(
        measurement="weight",
        site=Site.parse("blocks.1.attn.o"),
        side="right",
        turn=Rotation(angles=np.full(10, np.pi / 6), dimension=100),
        reason="only 10 vectors were kept",
    )
    text = printed(*rotation_table(replace(pair, no_rotation="", rotations=(one,))))
    for word in ("weights layer 1 attn.o", "0.7500", "30.00°", "* only 10 vectors were kept"):
        assert word in text


def test_near_is_not_called_matched(comparison, printed):
    alignment = comparison.alignment
    first = alignment.points[0]
    apart = replace(first, places=tuple(replace(place, gap=0.25) for place in first.places))
    near = replace(comparison, alignment=replace(alignment, points=(apart,)))
    text = " ".join(printed(*heading(near), alignment_table(near)).split())
    assert "not matched, up to 0.25 nats apart" in text
    assert "to the nearer apart" in text


def test_other_axes_and_targets_in_words(comparison, printed):
    by_step = replace(comparison, alignment=replace(comparison.alignment, axis=Axis.STEP, loss=None))
    assert "matched on step" in printed(*heading(by_step))
    assert (target_words(30.0), target_words(3.28125)) == ("30", "3.2812")


def test_why_there_is_no_trend(comparison, printed):
    without = replace(comparison, trend=replace(comparison.trend, trends=(), reason="two sizes"))
    assert "no trend with batch size: two sizes" in printed(*trend_tables(without))


def test_the_floor_of_each_number_says_which_bound_it_is(comparison, printed):
    pair = comparison.pairs[0]
    numbers, distances = ([d for d in pair.differences if d.is_distance is one] for one in (False, True))
    for kind, of_kind in (("1 SE", numbers), ("95 %", distances)):
        text = printed(*pair_tables(comparison, replace(pair, differences=tuple(of_kind))))
        rows = [line for line in text.splitlines() if line.rstrip().endswith("/5")]
        assert rows
        assert all(f" {kind} " in row for row in rows)


def test_weights_are_listed_by_their_margins_without_a_verdict(comparison, printed):
    pair = comparison.pairs[0]
    exact = tuple(replace(d, measurement="weight") for d in pair.differences if not d.is_distance)
    text = printed(*pair_tables(comparison, replace(pair, differences=exact)))
    assert "Largest differences, exact: there is no noise floor" in text
    first, *others = (line for line in text.splitlines() if line.startswith("weights layer "))
    assert len(others) < MOST_ROWS
    assert "/5" not in first
    largest = max(exact, key=lambda d: abs(d.found.delta) / d.found.margin)
    assert f"layer {largest.site.layer}   {statistic_words(largest.statistic)}" in first
    same = tuple(replace(d, found=replace(d.found, delta=0.0)) for d in exact)
    assert "Largest" not in printed(*pair_tables(comparison, replace(pair, differences=same)))


def test_without_blocks_the_largest_differences_are_listed_without_a_verdict(write_run, tmp_path, printed):
    names = [
        str(write_run(tmp_path / f"{n}.spectra.h5", steps=STEPS, losses=LOSSES, exponents=e))
        for n, e in (("a", 1.0), ("b", 1.3), ("c", 1.0))
    ]
    unknown = compare(CompareRequest(runs=tuple(names[:2])))
    text = printed(*pair_tables(unknown, unknown.pairs[0]))
    assert "Largest differences; none counts as different" in text
    assert "? 0/5" in text
    assert "none of 110 numbers can be judged: no standard error" in " ".join(text.split())
    same = compare(CompareRequest(runs=(names[0], names[2])))
    assert "differences;" not in printed(*pair_tables(same, same.pairs[0]))
