"""Matching at equal loss against the closed forms."""

import re

import numpy as np
import pytest

from spectra_cli.analysis.brackets import (
    at_loss,
    at_position,
    best_so_far,
    loss_targets,
    position_targets,
    with_third,
)
from spectra_cli.core.errors import DataError


def test_a_metric_linear_in_loss_is_interpolated_exactly():
    times = np.arange(1, 60)
    losses = 3.0 * times**-0.3
    metric = 2.0 - 0.7 * losses
    for target in np.linspace(losses[-1], losses[2], 17):
        point = at_loss(losses, target)
        found = point.between(metric[point.before], metric[point.after])
        assert found == pytest.approx(2.0 - 0.7 * target, abs=1e-12)
        assert point.gap <= (losses[point.before] - losses[point.after]) / 2 + 1e-15


def test_a_spike_does_not_match_early_and_a_dip_counts_once():
    # up at 2, below the target for one checkpoint at 4, worse at 5
    losses = [4.0, 3.5, 6.0, 3.2, 2.8, 3.1, 2.5]
    assert list(best_so_far(losses)) == [4.0, 3.5, 3.5, 3.2, 2.8, 2.8, 2.5]
    across_the_spike = at_loss(losses, 3.3)
    assert (across_the_spike.before, across_the_spike.after) == (1, 3)
    past_the_dip = at_loss(losses, 2.6)
    assert (past_the_dip.before, past_the_dip.after) == (4, 6)
    assert past_the_dip.share == pytest.approx(2 / 3)


def test_nothing_is_extrapolated():
    assert at_loss([3.0, 2.0], 1.9) is None
    assert at_loss([3.0, 2.0], 3.1) is None
    assert at_loss([np.nan, 3.0, 2.0], 2.5).before == 1
    assert at_loss([np.nan, 3.0], 3.0) is None
    assert at_position([0, 10, 20], 21) is None
    assert at_position([5, 10], 4) is None


def test_positions():
    assert at_position([0, 10, 30], 10).share == 0.0
    point = at_position([0, 10, 30], 15)
    assert (point.before, point.after, point.share, point.gap) == (1, 2, 0.25, 5.0)


def test_the_bend_is_the_parabola_through_the_third_checkpoint():
    losses = np.array([9.0, 6.0, 4.0, 2.5])
    number = 1.0 + 2.0 * losses - 0.3 * losses**2
    for third in (0, 3):
        point = with_third(at_loss(losses, 4.6), losses, [third])
        assert point.third == third
        ends = number[point.before], number[point.after]
        expected = 1.0 + 2.0 * 4.6 - 0.3 * 4.6**2 - point.between(*ends)
        assert point.bend(*ends, number[point.third]) == pytest.approx(expected, rel=1e-9)


def test_the_third_checkpoint_is_half_a_bracket_away_and_rather_one_that_is_read_anyway():
    # between 6 and 4: at 3.5 too close, at 2.9 far enough
    losses = np.array([20.0, 12.0, 6.0, 4.0, 3.5, 2.9])
    bracket = at_loss(losses, 5.0)
    assert with_third(bracket, losses, []).third == 5
    assert with_third(bracket, losses, [0, 1, 4]).third == 1
    assert with_third(bracket, np.where(losses < 4.0, np.nan, losses), []).third == 1
    assert with_third(at_loss(losses[2:4], 5.0), losses[2:4], [0, 1]).third is None


def test_without_a_third_checkpoint_the_nearer_one_is_the_measure():
    point = at_position([0, 10], 2.5)
    assert point.bend(1.0, 3.0, None) == 0.5
    # at a checkpoint nothing is interpolated
    assert with_third(at_position([0, 10, 20], 10), np.array([0.0, 10.0, 20.0]), [0, 1, 2]).third is None
    assert at_loss([3.0, 2.0], 2.0).bend(1.0, 3.0, None) == 0.0


def test_targets_lie_in_the_common_range():
    targets = loss_targets([[11.0, 5.0, 4.0, 3.0], [11.0, 6.0, 3.4]], 3)
    # from 3.4, which both reach, by 60 % of the way to 5.0, the lower of the first losses past the start
    np.testing.assert_allclose(targets, [3.4, 3.88, 4.36])
    np.testing.assert_allclose(position_targets([[0, 100], [20, 80]], 2), [80, 44])


def test_runs_without_a_common_loss_are_refused_with_their_distance():
    with pytest.raises(DataError, match=r"0\.5000 nats apart"):
        loss_targets([[9.0, 4.0, 3.5], [9.0, 3.0, 2.0]])
    with pytest.raises(DataError, match="no position in common"):
        position_targets([[0, 10], [20, 30]])
    with pytest.raises(DataError, match="no finite loss"):
        loss_targets([[np.nan], [1.0]])


def test_the_first_checkpoint_is_left_out_only_where_it_is_a_start_that_the_runs_share():
    runs = [[2.95, 2.6, 2.11], [3.0, 2.9, 2.82]]
    # trained already, and not alike: both have been through 2.82 to 2.95
    np.testing.assert_allclose(loss_targets(runs, 2), [2.82, 2.82 + 0.6 * 0.13])
    with pytest.raises(DataError, match=r"without the start.*2\.1100 to 2\.6000; 2\.8200 to 2\.9000") as told:
        loss_targets(runs, untrained=[True, True])
    assert "with it they share 2.8200 to 2.9500: --at 2.8200" in str(told.value)
    with pytest.raises(DataError, match="no loss in common"):
        loss_targets([[2.95, 2.6, 2.11], [2.951, 2.9, 2.82]])
    # the untrained start of one run alone
    np.testing.assert_allclose(
        loss_targets([[9.0, 4.0, 3.0], [3.8, 3.2]], 2, untrained=[True, False])[0], 3.2
    )
    with pytest.raises(DataError) as apart:
        loss_targets([[3.0, 2.0], [5.0, 4.0]])
    assert "--at" not in str(apart.value)


@pytest.mark.parametrize("end", [2.97082, 2.82, 2.949999999, 2.95])
def test_the_loss_that_is_proposed_is_one_that_all_runs_have_stood_at(end):
    runs = [[2.95, 2.6, 2.11], [3.0, 2.96, end] if end < 2.96 else [2.98, 2.975, end]]
    runs[0][0] = max(runs[0][0], end)
    with pytest.raises(DataError) as told:
        loss_targets(runs, untrained=[True, True])
    proposed = float(re.search(r"--at ([\d.]+)", str(told.value))[1])
    assert all(at_loss(run, proposed) is not None for run in runs)


def test_a_spike_does_not_raise_the_targets():
    # between its second checkpoint and its end the first run's best loss goes from 3 to 2.5
    targets = loss_targets([[4.0, 3.0, 9.0, 2.5], [11.0, 10.0, 5.0, 2.5]], untrained=[True, True])
    assert targets.max() == pytest.approx(2.5 + 0.6 * 0.5)
    assert all(at_loss([4.0, 3.0, 9.0, 2.5], target) is not None for target in targets)
