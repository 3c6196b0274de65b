from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from spectra_cli.analysis.forecast.extrapolation import BackTest, CurveForecast, Extrapolation
from spectra_cli.analysis.forecast.loss_curve import LossCurve
from spectra_cli.analysis.forecast.regression import Interval
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.forms.registry import FORMS
from spectra_cli.render.outputs import extrapolation as rendering
from tests.builders.every_form import nothing_is_lost

NEVER = Interval(value=math.inf, low=3e9, high=math.inf)
FIT = CurveForecast(
    name="loss curve",
    curve=LossCurve(floor=3.0, scale=0.5, exponent=0.3, unit=1e9),
    spread=0.004,
    losses=((2e9, Interval(value=3.4, low=3.39, high=3.41)),),
    to_target=NEVER,
)


def extrapolation(**changes):
    fields = {
        "name": "run",
        "path": Path("/w/run.spectra.h5"),
        "unit": "tokens",
        "loss": "probe",
        "num_points": 20,
        "first": 1e8,
        "last": 1e9,
        "last_loss": 3.5,
        "target": 3.01,
        "reached": math.nan,
        "started_below": False,
        "statistic": "tail_exponent_scaled",
        "layers": (3,),
        "level": 0.8,
        "fits": (FIT,),
        "test": None,
        "notices": (),
    }
    return Extrapolation(**(fields | changes))


def test_a_target_that_the_curve_never_reaches(printed):
    out = printed(*rendering.tables(extrapolation()))
    assert "never [3B, never]" in out
    assert "3.4000 [3.3900, 3.4100]" in out
    assert "untested" in out
    (loss, target) = rendering.rows(extrapolation())
    assert tuple(loss) == rendering.COLUMNS
    assert (target["quantity"], target["at"], target["value"], target["low"]) == ("tokens", 3.01, None, 3e9)
    as_json(rendering.document(extrapolation()))


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_lost_in_any_form(form):
    nothing_is_lost(rendering.output(extrapolation(notices=("few points",))), form)


def test_a_target_already_reached(printed):
    found = extrapolation(reached=6e8, fits=(replace(FIT, to_target=None),))
    assert "600M (reached)" in printed(*rendering.tables(found))
    (_, row) = rendering.rows(found)
    assert (row["fit"], row["quantity"], row["at"], row["value"]) == ("measured", "tokens", 3.01, 6e8)
    document = rendering.document(found)
    assert (document["target_reached"], document["started_below"]) == (6e8, False)
    assert document["fits"][0]["to_target"] is None


def test_a_target_above_the_first_loss(printed):
    found = extrapolation(started_below=True, fits=(replace(FIT, to_target=None),))
    assert "below it from its first checkpoint" in printed(*rendering.tables(found))
    (_, row) = rendering.rows(found)
    assert (row["fit"], row["value"]) == ("measured: below it from its first checkpoint", None)
    assert rendering.document(found)["started_below"]


def test_the_held_part_gives_the_verdict(printed):
    parts = {"num_fitted": 14, "num_held": 6, "last_fitted": 5e8, "last": 1e9, "unchanged": 0.1}
    better = BackTest(curve=0.02, with_covariate=0.01, **parts)
    assert "the spectrum lowers the error by 50 %" in printed(*rendering.tables(extrapolation(test=better)))
    worse = BackTest(curve=0.01, with_covariate=0.02, **parts)
    assert "does not help: error 0.0200 with, 0.0100 without" in printed(
        *rendering.tables(extrapolation(test=worse))
    )
    alone = BackTest(curve=0.01, with_covariate=math.nan, **parts)
    assert "could not be tested" in printed(*rendering.tables(extrapolation(test=alone)))
