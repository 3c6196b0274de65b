from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectra_cli.analysis.forecast.evidence import Prediction, RunTable, weigh
from spectra_cli.analysis.forecast.over_runs import Forecast
from spectra_cli.analysis.forecast.rows import RunRow
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.outputs import forecast as rendering
from spectra_cli.render.tables.forecast import tables


def row(number, **changes):
    fields = {
        "name": f"run{number}",
        "path": Path(f"/w/run{number}.spectra.h5"),
        "role": "known",
        "family": "GPT2LMHeadModel",
        "outcome": "reached",
        "seen": 1e9,
        "batch_tokens": 524288.0,
        "learning_rate": 6e-4,
        "width": 768,
        "early_step": 500,
        "early": 2.6e8,
        "early_loss": 4.25,
        "predictor": 1.0 + 0.1 * number,
        "stderr": 0.01,
        "layers": (8, 9, 10, 11),
        "to_target": 8e8 - 1e7 * number,
    }
    return RunRow(**(fields | changes))


def forecast(rows, evidence=None, **changes):
    fields = {
        "unit": "tokens",
        "loss": "probe",
        "target": 3.28,
        "target_given": True,
        "early": 2.6e8,
        "early_unit": "tokens",
        "statistic": "tail_exponent_30_150",
        "rows": tuple(rows),
        "evidence": evidence,
        "notices": (),
    }
    return Forecast(**(fields | changes))


def evidence(n):
    x = np.arange(n, dtype=float)
    return weigh(
        RunTable(
            predictor=x,
            stderrs=np.full(n, math.nan),
            response=-x + 0.1 * np.cos(7 * x),
            families=("a",) * n,
            baselines={},
        )
    )


@pytest.fixture
def shown(printed):
    def show(found):
        out = printed(*tables(found))
        assert all(len(line) <= 100 for line in out.splitlines())
        return out

    return show


def test_the_fewest_tokens_come_first_then_the_censored_then_the_excluded(shown):
    rows = [
        row(0),
        row(1),
        row(2, outcome="excluded", reason="it has no such number"),
        row(3, outcome="censored", to_target=math.nan),
    ]
    out = shown(forecast(rows, evidence(3)))
    assert [out.index(f"run{n} ") for n in (1, 0, 3, 2)] == sorted(out.index(f"run{n} ") for n in range(4))
    assert "> 1B" in out
    assert "excluded: run2: it has no such number" in out


def test_an_open_interval_and_a_run_outside_the_others_are_said(shown):
    open_ended = Prediction(value=2e9, low=1e9, high=math.inf, level=0.8, outside=True)
    rows = [row(0), row(1, outcome="censored", to_target=math.nan, prediction=open_ended)]
    found = forecast(rows, evidence(3))
    assert "2B [1B, ∞] (outside)" in shown(found)
    (_, cells) = rendering.rows(found)
    assert (cells["predicted"], cells["predicted_high"], cells["outside"]) == (2e9, None, True)
    as_json(rendering.document(found))


def test_too_few_runs_say_so(shown):
    assert "fewer than two usable runs" in shown(forecast([row(0)]))
    out = " ".join(shown(forecast([row(0), row(1)], evidence(4))).split())
    assert "no p-value: the smallest that so few can have is 0.083" in out
    assert "correlation only" in out


def test_the_headline_says_which_way_it_went(shown):
    out = shown(forecast([row(n) for n in range(6)], evidence(6)))
    assert "the spectrum adds +" in out
    assert "over the best baseline (mean, +0.00)" in out
    assert "the number has no standard error" in out


def test_families_and_marks_are_shown_where_there_are_any(shown):
    from spectra_cli.core.types import Status

    rows = [row(0, family="a"), row(1, family="b", status=Status.PARTIAL, reason="few rows")]
    out = shown(forecast(rows, evidence(2)))
    assert "family" in out
    assert "±0.010*" in out


def test_rows_and_columns_agree():
    found = forecast([row(0), row(1)], evidence(2))
    for cells in rendering.rows(found):
        assert tuple(cells) == rendering.COLUMNS
    assert json.loads(as_json(rendering.document(found)))["runs"][0]["layers"] == [8, 9, 10, 11]


def test_how_far_noise_shrinks_the_slope_is_said_in_percent(shown):
    told = evidence(6)
    for reliability, words in ((0.75, "shrinks it by 25 %"), (0.999, "shrinks it by less than 1 %")):
        found = replace(told, slope=replace(told.slope, reliability=reliability))
        assert words in " ".join(shown(forecast([row(n) for n in range(6)], found)).split())


def test_a_gain_within_its_error_and_a_number_that_is_all_noise_are_said_so(shown):
    told = evidence(6)
    told = replace(
        told,
        gain=replace(told.gain, without=0.5, with_spectrum=0.6, stderr=0.2),
        slope=replace(told.slope, reliability=-0.4),
    )
    found = forecast([row(n) for n in range(6)], told)
    out = " ".join(shown(found).split())
    assert "the spectrum adds nothing beyond its error: +0.10±0.20 in Q²" in out
    assert "early loss was not among them" in out
    assert "the slope tells nothing" in out
    assert rendering.document(found)["gain"]["stderr"] == 0.2
