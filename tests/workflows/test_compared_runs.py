"""Runs as a comparison reads them: names, where they stand, and no checkpoint twice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spectra_cli.analysis.alignment import Axis, Loss, align
from spectra_cli.core.errors import UsageError
from spectra_cli.workflows.compared_runs import nearest_to_last_point, open_runs, points_of, same_archive

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


def test_names_are_told_apart(two):
    names = [run.name for run in open_runs(two)]
    assert names[0] != names[1]
    assert all(name.endswith("/a") for name in names)


def test_an_archive_is_the_same_however_it_is_spelled(two, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link.spectra.h5").symlink_to(tmp_path / "a.spectra.h5")
    spellings = ["a", "a/", "a.spectra.h5", "below/../a.spectra.h5", str(tmp_path / "a"), "link.spectra.h5"]
    for name in spellings[1:]:
        with pytest.raises(UsageError, match=r"a and .* are the same archive"):
            open_runs(["a", name])
    # a link gives the run its name
    assert [run.name for run in open_runs(["link.spectra.h5", "below/a.spectra.h5"])] == ["link", "a"]
    for name in spellings:
        assert same_archive(name, ["below/a.spectra.h5", "a"]) == 1
        assert same_archive(name, ["below/a.spectra.h5"]) is None
    assert same_archive("a", ["below/a.spectra.h5", "link.spectra.h5"]) == 1
    assert same_archive("nowhere", ["a"]) is None


def test_a_run_says_where_it_stands(two):
    (run,) = open_runs(two[:1])
    np.testing.assert_array_equal(run.trajectory.losses[Loss.PROBE], LOSSES)
    np.testing.assert_array_equal(run.trajectory.steps, STEPS)
    np.testing.assert_array_equal(run.trajectory.tokens, [1000 * step for step in STEPS])
    assert np.isnan(run.trajectory.losses[Loss.TRAIN]).all()
    assert run.trajectory.loss_stderr == 0.0
    assert run.batch_size_tokens == 16


def test_checkpoints_are_those_of_the_brackets_in_order_and_shared_between_points(two):
    runs = open_runs(two)
    alignment = align([run.trajectory for run in runs], Axis.LOSS, at=[4.75, 4.5, 3.75])
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
    alignment = align([run.trajectory for run in runs], Axis.STEP, at=[15.0])
    ((point, _),) = points_of(runs, alignment)
    assert math.isnan(point.loss_step)


def test_the_nearest_checkpoint_to_the_last_point(two):
    runs = open_runs(two)
    alignment = align([run.trajectory for run in runs], Axis.LOSS, at=[5.0, 3.6])
    assert nearest_to_last_point(runs[0], 0, alignment).ref.step == 30
