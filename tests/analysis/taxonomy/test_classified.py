"""Errors of the loss and gains in tokens, as the taxonomy takes them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.alignment import align
from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned.points import Point, points_of
from spectra_cli.analysis.compare.differences import Choice, decided, differences_at
from spectra_cli.analysis.run import Axis
from spectra_cli.analysis.taxonomy.classified import loss_stderr, taxonomies, why_no_taxonomy
from spectra_cli.workflows.runs import open_runs

BRACKET = Bracket(before=0, after=1, share=0.5, gap=0.0)


def at(*noise):
    sizes = (4,) * (len(noise) - 1)
    return Point(
        before=object(), after=object(), bracket=BRACKET, loss_noise=np.array(noise), loss_sizes=sizes
    )


def test_common_noise_of_the_loss_cancels_on_one_probe():
    a, b = at(0.0, 0.1, -0.1), at(0.0, 0.1, -0.1)
    assert loss_stderr(a, b, paired=True) == 0.0
    # two blocks: SE^2 = 1/2 sum of squares, for each run
    assert loss_stderr(a, b, paired=False) == pytest.approx(math.sqrt(2 * 0.5 * 0.02))
    assert math.isnan(loss_stderr(a, at(), paired=True))


def test_losses_of_other_blocks_have_no_noise_in_common():
    other = replace(at(0.0, 0.1, -0.1), loss_sizes=(8, 8))
    assert loss_stderr(at(0.0, 0.1, -0.1), other, paired=True) == pytest.approx(math.sqrt(0.02))


def test_tokens_to_the_same_loss(write_run, tmp_path):
    """The second run takes half the tokens a step at the same losses."""
    common = {"steps": (0, 10, 20), "losses": (8.0, 5.0, 4.0), "num_layers": 3, "noise": 0.02}
    write_run(tmp_path / "a.spectra.h5", tokens_a_step=1000, **common)
    write_run(tmp_path / "b.spectra.h5", tokens_a_step=500, **common)
    runs = open_runs([str(tmp_path / f"{name}.spectra.h5") for name in "ab"])
    alignment = align(runs, Axis.LOSS, number=2)
    found = []
    for point, (a, b) in zip(alignment.points, points_of(runs, alignment), strict=True):
        found += differences_at(a, b, target=point.target, paired=True)
    labels = taxonomies(
        runs,
        (0, 1),
        decided(found),
        alignment,
        loss_errors={point.target: 0.0 for point in alignment.points},
        replicates=[],
        throughput_ratio=1.5,
    )
    assert [one.target for one in labels] == [point.target for point in alignment.points]
    assert labels[-1].performance.token_gain == pytest.approx(1.0)
    assert labels[-1].performance.throughput_gain == pytest.approx(0.5)


def test_why_a_pair_is_not_classified(write_run, tmp_path):
    path = write_run(tmp_path / "a.spectra.h5", steps=(0, 10), losses=(8.0, 5.0), noise=0.02)
    other = write_run(tmp_path / "c.spectra.h5", steps=(0, 10), losses=(8.0, 5.0), noise=0.02, seed=1)
    lone = write_run(tmp_path / "b.spectra.h5", steps=(10,), losses=(4.0,), noise=0.02)
    runs = open_runs([str(one) for one in (path, other, lone)])
    a, b, c = runs
    at_loss, at_step, apart = align([a, b], Axis.LOSS), align([a, b], Axis.STEP), align([a, b, c], Axis.LOSS)
    (points,) = points_of(runs[:2], align([a, b], Axis.LOSS, number=1))
    found = differences_at(*points, target=5.0, paired=True)
    assert why_no_taxonomy(found, Choice(), at_loss, (0, 1)) == ""
    assert "leave out --layer" in why_no_taxonomy(found, Choice(layers=(0,)), at_loss, (0, 1))
    assert "neither activations nor gradients" in why_no_taxonomy([], Choice(), at_loss, (0, 1))
    assert "compared at equal step" in why_no_taxonomy(found, Choice(), at_step, (0, 1))
    # the third run ends a nat below the others, which stand where they come closest
    assert "not matched" in why_no_taxonomy(found, Choice(), apart, (0, 2))
    errors = {point.target: math.nan for point in at_step.points}
    labels = taxonomies(runs, (0, 1), [], at_step, loss_errors=errors, replicates=[], throughput_ratio=None)
    assert labels == ()
