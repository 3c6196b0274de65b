"""Forecasts of planted runs: what goes into a row, what is left out and why, and the truth found again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.analysis.forecast.rows import EXCLUDED, REACHED, RunRow, without_lonely
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.workflows.forecast import forecast

STEPS = [0, 10, 20, 50, 100, 200, 500, 1000]


def curve(exponent, steps=STEPS):
    """A loss that falls faster for a steeper spectrum: 3 nats after 100 exp(2 (1 - exponent)) steps."""
    half = 100 * math.exp(2 * (1 - exponent))
    return [6.0 if step == 0 else 3.0 - 0.5 * math.log(step / half) for step in steps]


@pytest.fixture
def runs(tmp_path, monkeypatch, write_run):
    """Write runs whose tail exponent sets their loss curve; returns their names."""
    monkeypatch.chdir(tmp_path)

    def make(exponents, **changes):
        names = []
        for number, exponent in enumerate(exponents):
            own = {k: v[number] if isinstance(v, tuple) else v for k, v in changes.items()}
            name = f"{own.pop('prefix', 'run')}{number}"
            given = {"steps": STEPS, "losses": curve(exponent), "exponents": exponent, "noise": 0.002}
            write_run(tmp_path / f"{name}.spectra.h5", **{**given, "seed": number, **own})
            names.append(name)
        return tuple(names)

    return make


EXPONENTS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)


def test_the_planted_relation_is_found_and_forecasts(runs):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS), target_loss=3.0, early=0.02))
    assert (found.unit, found.loss, found.statistic) == ("tokens", "probe", "tail_exponent_scaled")
    for row, exponent in zip(found.rows, EXPONENTS, strict=True):
        assert row.outcome == "reached"
        assert row.predictor == pytest.approx(exponent, abs=1e-9)
        assert row.stderr > 0
        # the loss is linear in log tokens, so that interpolation is exact
        assert row.to_target == pytest.approx(1e5 * math.exp(2 * (1 - exponent)), rel=1e-9)
    assert found.evidence.rank.value == pytest.approx(-1.0)
    assert found.evidence.rank.p_value == pytest.approx(2 / 720)
    assert found.evidence.slope.value == pytest.approx(-2.0, abs=1e-6)


def test_the_early_checkpoint_is_never_a_later_one(runs):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS), early_tokens=49_999, target_loss=3.0))
    assert {(row.early_step, row.early) for row in found.rows} == {(20, 20_000.0)}
    exact = forecast(ForecastRequest(archives=runs(EXPONENTS), early_step=50, target_loss=3.0))
    assert {row.early_step for row in exact.rows} == {50}
    share = forecast(ForecastRequest(archives=runs(EXPONENTS), early=0.05, target_loss=3.0))
    assert {row.early_step for row in share.rows} == {50}


def test_a_run_without_an_early_checkpoint_is_excluded_with_its_reason(runs):
    late = [0, 100, 200, 500, 1000]
    losses = (*map(curve, EXPONENTS[:5]), curve(1.3, late))
    names = runs(EXPONENTS, steps=(*[STEPS] * 5, late), losses=losses)
    found = forecast(ForecastRequest(archives=names, early_step=50, target_loss=2.6))
    assert [row.outcome for row in found.rows] == ["reached"] * 5 + ["excluded"]
    assert "no trained checkpoint within the first 50 steps" in found.rows[-1].reason
    assert found.evidence.num_runs == 5


def test_a_target_reached_before_the_early_checkpoint_is_no_forecast(runs):
    found = forecast(ForecastRequest(archives=runs((*EXPONENTS, 1.6)), early_step=50, target_loss=3.0))
    assert [row.outcome for row in found.rows[-1:]] == ["excluded"]
    assert "before its early checkpoint" in found.rows[-1].reason


def test_the_default_target_is_the_lowest_that_all_runs_reach(runs):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS)))
    assert not found.target_given
    assert found.target == pytest.approx(max(min(curve(e)) for e in EXPONENTS))
    assert {row.outcome for row in found.rows} == {"reached"}


def test_censored_runs_are_kept_and_get_an_interval(runs):
    exponents = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    short = [curve(e) for e in exponents]
    names = runs(exponents, steps=([0, 10, 20, 50], *[STEPS] * 6), losses=(short[0][:4], *short[1:]))
    found = forecast(ForecastRequest(archives=names, early_step=20, target_loss=3.0))
    row = found.rows[0]
    assert (row.outcome, row.seen) == ("censored", 50_000)
    assert math.isnan(row.to_target)
    # the planted line goes through every other run without noise
    assert row.prediction.value == pytest.approx(1e5 * math.exp(0.6), rel=1e-3)
    # equal but for rounding, since nothing scatters
    assert row.prediction.low == pytest.approx(row.prediction.high, rel=1e-6)
    assert row.prediction.outside
    assert (found.evidence.num_runs, found.evidence.num_fitted) == (7, 6)


def test_a_new_run_is_forecast_and_takes_no_part(runs):
    names = runs(EXPONENTS)
    alone = forecast(ForecastRequest(archives=names, target_loss=3.0, early_step=20))
    (extra,) = runs((1.05,), prefix="new", steps=[0, 10, 20], losses=curve(1.05)[:3])
    found = forecast(ForecastRequest(archives=names, new=(extra,), target_loss=3.0, early_step=20))
    assert found.rows[-1].role == "new"
    assert found.rows[-1].prediction.value == pytest.approx(1e5 * math.exp(-0.1), rel=1e-3)
    assert found.evidence.slope == alone.evidence.slope
    assert found.evidence.num_runs == 6


def test_families_are_compared_within(runs):
    names = runs(
        EXPONENTS,
        facts=tuple({"recipe": r} for r in ("a", "a", "a", "b", "b", "b")),
        architecture=tuple("xxxxxy"),
    )
    by_fact = forecast(ForecastRequest(archives=names, family="recipe", target_loss=3.0, early=0.02))
    assert by_fact.evidence.num_families == 2
    by_default = forecast(ForecastRequest(archives=names, target_loss=3.0, early=0.02))
    assert "only usable run of family y" in by_default.rows[-1].reason
    assert (
        forecast(
            ForecastRequest(archives=names, family="none", target_loss=3.0, early=0.02)
        ).evidence.num_runs
        == 6
    )
    with pytest.raises(UsageError, match=r"--family optimizer.*recipe"):
        forecast(ForecastRequest(archives=names, family="optimizer"))


def test_another_grouping_is_advised_only_where_the_grouping_is_the_reason():
    def row(name, family, outcome=REACHED, reason=""):
        return RunRow(
            name=name,
            path=Path(name),
            role="known",
            family=family,
            outcome=outcome,
            seen=1.0,
            batch_tokens=math.nan,
            learning_rate=math.nan,
            reason=reason,
        )

    def reasons(*rows):
        return [one.reason for one in without_lonely(rows)]

    x = [row("a", "x"), row("b", "x")]
    unusable = row("d", "y", EXCLUDED, "no early checkpoint")
    assert (
        reasons(*x, row("c", "y"))[-1]
        == "the only usable run of family y; --family none ranks all runs together"
    )
    assert reasons(*x, row("c", "y"), unusable)[-2:] == [
        "the only usable run of family y: 1 other of it left out, for the reasons beside them",
        "no early checkpoint",
    ]
    assert reasons(row("c", "all")) == ["the only usable run of family all"]


def test_batch_and_learning_rate_are_baselines_where_they_are_known(runs):
    names = runs(
        EXPONENTS,
        batch_size_tokens=(1000, 2000, 4000, 1000, 2000, 4000),
        learning_rate=(1e-3, 1e-3, 1e-3, 2e-3, 2e-3, 3e-3),
    )
    found = forecast(ForecastRequest(archives=names, target_loss=3.0, early=0.02))
    assert "batch + learning rate" in {e.name for e in found.evidence.errors}
    without = forecast(ForecastRequest(archives=runs(EXPONENTS), target_loss=3.0, early=0.02))
    assert {e.name for e in without.evidence.errors} >= {"mean", "early loss", "spectrum"}
    assert "batch" not in " ".join(e.name for e in without.evidence.errors)


def test_steps_stand_in_for_tokens_and_it_is_said(runs):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS, tokens_a_step=None), target_loss=3.0))
    assert found.unit == "steps"
    assert found.rows[2].to_target == pytest.approx(100.0)
    assert any("in steps" in notice for notice in found.notices)
    with pytest.raises(UsageError, match="--early-tokens"):
        forecast(ForecastRequest(archives=runs(EXPONENTS, tokens_a_step=None), early_tokens=5e4))


def test_runs_that_were_not_measured_alike_are_refused_by_name(runs):
    names = runs(EXPONENTS, settings=({}, {}, {}, {}, {}, {"pool": "last"}))
    with pytest.raises(DataError, match=r"settings\.pool.*--allow-different-scans"):
        forecast(ForecastRequest(archives=names))
    found = forecast(ForecastRequest(archives=names, allow_different_scans=True))
    assert any("settings.pool" in notice for notice in found.notices)


def test_early_checkpoints_of_different_moments_are_said(runs):
    names = runs(EXPONENTS, steps=(*[STEPS] * 5, [0, 10, 30, 100, 200, 500, 900, 1000]))
    found = forecast(ForecastRequest(archives=names, early_step=40))
    assert any("more than 2 % apart" in notice for notice in found.notices)


@pytest.mark.parametrize("n", [2, 4])
def test_few_runs_have_a_correlation_only(runs, n):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS[:n]), target_loss=3.0, early=0.02))
    assert found.evidence.rank.value == pytest.approx(-1.0)
    assert math.isnan(found.evidence.rank.p_value)
    assert "correlation only" in found.evidence.why_less


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"early": 0.1, "early_step": 5}, "--early and --early-step"),
        ({"early": 1.5}, "--early 1.5"),
        ({"early_step": 0}, "--early-step 0"),
        ({"early_tokens": math.inf}, "--early-tokens inf"),
        ({"level": 1.0}, "--level"),
        ({"target_loss": math.nan}, "--target-loss"),
        ({"layers": (7,)}, "no layer 7"),
    ],
)
def test_what_cannot_be_asked(runs, change, words):
    with pytest.raises(UsageError, match=words):
        forecast(ForecastRequest(archives=runs(EXPONENTS[:2]), **change))


def test_a_target_that_no_run_reaches_leaves_nothing_to_fit(runs):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS), target_loss=0.5))
    assert {row.outcome for row in found.rows} == {"censored"}
    assert math.isnan(found.evidence.rank.value)
    assert found.evidence.errors == ()
    assert np.isnan(found.evidence.linear.value)


def test_a_baseline_that_a_run_lacks_is_said_with_the_run(runs):
    # the checkpoint that is early has no loss in run2, and no run says its batch
    holes = tuple(
        [None if n == 2 and step == 20 else loss for step, loss in zip(STEPS, curve(e), strict=True)]
        for n, e in enumerate(EXPONENTS)
    )
    names = runs(EXPONENTS, losses=None, eval_loss=holes)
    found = forecast(ForecastRequest(archives=names, target_loss=3.0, early=0.02))
    assert any("early loss is not among the baselines" in n and n.endswith("run2") for n in found.notices)
    assert any(n.startswith("batch is not among the baselines") for n in found.notices)
    assert "early loss" not in {e.name for e in found.evidence.errors}


def test_other_layers_in_some_of_the_runs_are_said(runs):
    found = forecast(ForecastRequest(archives=runs(EXPONENTS, num_layers=(2, 2, 2, 2, 2, 6)), early=0.02))
    assert any("not averaged over the same layers: 1 in run0; 4,5 in run5" in n for n in found.notices)


def test_gradient_sequences_bind_only_a_number_of_gradients(runs):
    settings = tuple({"num_gradient_sequences": 64 * (1 + (n == 5))} for n in range(6))
    names = runs(EXPONENTS, settings=settings)
    forecast(ForecastRequest(archives=names, early=0.02))
    with pytest.raises(DataError, match=r"settings\.num_gradient_sequences"):
        forecast(ForecastRequest(archives=names, early=0.02, statistic="tail_exponent_sample_scaled"))


def test_a_run_that_passed_its_own_forecast_says_so_and_starts_its_interval_there(runs):
    names = runs((*EXPONENTS, 1.25), losses=(*map(curve, EXPONENTS), [6.0] * 7 + [5.0]))
    found = forecast(ForecastRequest(archives=names, target_loss=3.0, early=0.02))
    late = found.rows[-1]
    assert late.outcome == "censored"
    assert late.prediction.value < late.seen
    assert late.seen == late.prediction.low
    assert late.prediction.high >= late.prediction.low
    assert any(notice.startswith("run6: predicted at") for notice in found.notices)


def test_a_new_run_of_another_family_says_why_it_has_no_forecast(runs):
    names = runs(EXPONENTS)
    (other,) = runs((1.0,), prefix="other", architecture="LlamaForCausalLM")
    found = forecast(ForecastRequest(archives=names, new=(other,), target_loss=3.0, early=0.02))
    assert found.rows[-1].prediction is None
    assert any(n.startswith("other0: no forecast") and "LlamaForCausalLM" in n for n in found.notices)


def test_a_run_that_reached_the_target_alone_in_its_family_is_said(runs):
    names = runs(
        (*EXPONENTS, 1.0, 1.1),
        losses=(*map(curve, EXPONENTS), curve(1.0), [6.0] * 7 + [5.0]),
        architecture=(*["GPT2LMHeadModel"] * 6, *["LlamaForCausalLM"] * 2),
    )
    found = forecast(ForecastRequest(archives=names, target_loss=3.0, early=0.02))
    assert any("1 run that reached the target alone in the family" in n for n in found.notices)
    assert any(n.startswith("run7: no forecast") for n in found.notices)
