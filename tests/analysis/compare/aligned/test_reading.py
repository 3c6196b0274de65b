"""What is read of compared runs at each point, and no checkpoint twice."""

from __future__ import annotations

import math

import pytest

from spectra_cli.analysis.alignment import align
from spectra_cli.analysis.compare.aligned.reading import nearest_to_last_point, points_of
from spectra_cli.analysis.run import Axis
from spectra_cli.workflows.runs import open_runs

STEPS, LOSSES = (0, 10, 20, 30), (8.0, 5.0, 4.0, 3.5)


@pytest.fixture
def two(write_run, tmp_path, monkeypatch):
    """`a`, and `below/a` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    write_run(tmp_path / "a.spectra.h5", steps=STEPS, losses=LOSSES, batch_size_tokens=[None, 8, 16, None])
    other = [f"other-{step}" for step in STEPS]
    write_run(tmp_path / "below" / "a.spectra.h5", steps=STEPS, losses=LOSSES, digest=other)
    return ["a", "below/a.spectra.h5"]


def test_the_batch_size_is_the_last_that_is_known(two):
    (run,) = open_runs(two[:1])
    assert run.batch_size_tokens == 16


def test_checkpoints_are_those_of_the_brackets_in_order_and_shared_between_points(two):
    runs = open_runs(two)
    alignment = align(runs, Axis.LOSS, at=[4.75, 4.5, 3.75])
    points = list(points_of(runs, alignment))
    steps = [[(p.before.ref.step, p.after.ref.step) for p in both] for both in points]
    assert steps == [[(10, 20)] * 2, [(10, 20)] * 2, [(20, 30)] * 2]
    assert points[0][0].after is points[1][0].after
    assert points[1][0].after is points[2][0].before
    # a third checkpoint is one that is read anyway
    assert [[p.third.ref.step for p in both] for both in points] == [[30, 30], [30, 30], [10, 10]]
    # the loss of the planted runs has no blocks
    assert points[0][0].loss_noise.size == 0
    assert points[0][0].loss_step == pytest.approx(-1.0)


def test_on_another_axis_the_loss_moves_nothing(two):
    runs = open_runs(two)
    alignment = align(runs, Axis.STEP, at=[15.0])
    ((point, _),) = points_of(runs, alignment)
    assert math.isnan(point.loss_step)


def test_the_nearest_checkpoint_to_the_last_point(two):
    runs = open_runs(two)
    alignment = align(runs, Axis.LOSS, at=[5.0, 3.6])
    assert nearest_to_last_point(runs[0], 0, alignment).ref.step == 30
