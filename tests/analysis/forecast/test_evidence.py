"""Planted tables of runs, and what too few of them can say."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from spectra_cli.analysis.forecast.evidence import (
    RunTable,
    predict,
    smallest_p,
    usable_baselines,
    weigh,
    why_only_a_correlation,
)

FAMILIES = tuple("aaaabbbbcccc")


def planted(seed=0, *, families=FAMILIES, slope=-0.5, noise=0.05, baselines=None):
    """y = a_family + slope x + noise."""
    rng = np.random.default_rng(seed)
    n = len(families)
    x = rng.normal(size=n)
    level = np.array([ord(name) for name in families], dtype=float)
    y = 10 + level + slope * x + noise * rng.normal(size=n)
    return RunTable(
        predictor=x, stderrs=np.full(n, 0.01), response=y, families=families, baselines=baselines or {}
    )


def test_the_planted_slope_is_found_and_predicts():
    found = weigh(planted())
    assert -0.6 <= found.slope.value <= -0.4
    assert found.gain.value > 0.9
    assert found.gain.baseline == "mean"
    assert found.rank.value < -0.9
    assert found.rank.p_value < 0.001
    assert found.linear.high < -0.9
    assert found.family_left_out > 0.9
    assert 0.99 < found.slope.reliability < 1.0


def test_a_number_without_a_relation_is_not_given_one():
    gains = [weigh(planted(seed, slope=0.0, noise=1.0)).gain.value for seed in range(25)]
    # median Q^2 of about -0.14 over shuffled predictors
    assert np.median(gains) == pytest.approx(-0.14, abs=0.15)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_four_runs_have_a_correlation_and_nothing_else(n):
    table = planted(1, families=("a",) * n)
    found = weigh(table)
    assert found.rank.value == pytest.approx(spearmanr(table.predictor, table.response).statistic)
    assert math.isnan(found.rank.p_value)
    assert (found.errors, found.gain, found.slope) == ((), None, None)
    assert f"{n} runs: correlation only" in found.why_less
    assert predict(table, 0.0, "a", level=0.8) is None


def test_five_runs_have_all_of_it():
    found = weigh(planted(2, families=("a",) * 5))
    assert found.why_less == ""
    assert math.isfinite(found.rank.p_value)
    assert [e.name for e in found.errors] == ["mean", "spectrum"]


def test_the_smallest_p_value_counts_the_orderings_inside_families():
    assert smallest_p(("a",) * 4) == pytest.approx(2 / 24)
    assert smallest_p(tuple("aaabbb")) == pytest.approx(2 / 36)
    assert smallest_p(tuple("ab")) == 1.0


def test_censored_runs_rank_last_and_leave_the_regression():
    table = planted(3, families=("a",) * 8)
    late = table.response.copy()
    late[[0, 4]] = math.inf
    found = weigh(RunTable(**{name: getattr(table, name) for name in _FIELDS} | {"response": late}))
    assert (found.num_runs, found.num_fitted) == (8, 6)
    ranks = np.where(np.isfinite(late), late, 1e9)
    assert found.rank.value == pytest.approx(spearmanr(table.predictor, ranks).statistic)


_FIELDS = ("predictor", "stderrs", "response", "families", "baselines")


def test_too_many_censored_runs_leave_ranks_only():
    table = planted(4, families=("a",) * 6)
    late = np.where(np.arange(6) < 2, math.inf, table.response)
    few = RunTable(**{name: getattr(table, name) for name in _FIELDS} | {"response": late})
    assert "4 of 6 runs reached the target: ranks only" in why_only_a_correlation(few)
    assert math.isfinite(weigh(few).rank.p_value)


def test_baselines_that_repeat_each_other_or_do_not_vary_are_left_out():
    rng = np.random.default_rng(5)
    early = rng.normal(size=(12, 1))
    batch = np.tile([1.0, 2, 3, 4], 3)[:, None]
    table = planted(
        baselines={
            "early loss": early,
            "batch + learning rate": np.hstack([batch, 2 * batch + 1]),
            "width": np.repeat([1.0, 2, 3], 4)[:, None],
        }
    )
    found = usable_baselines(table)
    assert list(found) == ["early loss", "batch"]
    assert found["batch"].tolist() == batch.tolist()


def test_a_joint_baseline_is_called_after_what_is_left_of_it_and_not_told_twice():
    early = np.random.default_rng(5).normal(size=(12, 1))
    same = np.ones((12, 1))
    joint = np.hstack([early, same])
    table = planted(baselines={"early loss": early, "batch": same, "early loss + batch": joint})
    assert list(usable_baselines(table)) == ["early loss"]


def test_a_spectrum_that_the_batch_explains_adds_nothing():
    rng = np.random.default_rng(6)
    batch = rng.normal(size=12)
    table = RunTable(
        predictor=0.8 * batch + 0.4 * rng.normal(size=12),
        stderrs=np.full(12, 0.01),
        response=1.5 * batch + 0.8 * rng.normal(size=12),
        families=FAMILIES,
        baselines={"batch": batch[:, None]},
    )
    found = weigh(table)
    assert found.gain.baseline == "batch"
    assert found.gain.value < 0.05
    assert abs(found.partial_rank) < abs(found.rank.value)


def test_a_new_run_is_forecast_on_its_familys_line():
    table = planted(7)
    found = predict(table, 0.3, "b", level=0.8)
    # the planted line; noise of 0.05 on 12 runs
    assert math.log(found.value) == pytest.approx(10 + ord("b") - 0.15, abs=0.1)
    assert found.low < found.value < found.high
    assert not found.outside
    assert predict(table, 9.0, "b", level=0.8).outside
    assert predict(table, 0.3, "unknown", level=0.8) is None


def test_a_level_that_the_runs_cannot_give_has_an_open_end():
    table = planted(8, families=("a",) * 6)
    assert math.isinf(predict(table, 0.0, "a", level=0.9).high)
