"""What a figure says of itself beside its bounds."""

import math

import pytest

from benchmarks.figures import Figure, table_of
from benchmarks.timing import Spread


def _figure(value, **more):
    return Figure(name="f", measured=Spread.of([value]), **more)


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(12, False, "aim"), (9, False, "must"), (7, False, "missed"), (7, True, "must"), (9, True, "missed")],
)
def test_medians_are_held_against_both_bounds(value, at_most, verdict):
    aim = 5 if at_most else 12
    assert _figure(value, must=8, aim=aim, at_most=at_most).verdict == verdict


@pytest.mark.parametrize("error", [2e-4, math.nan])
def test_a_fast_wrong_answer_is_not_a_result(error):
    assert _figure(99, must=8, values_error=error).verdict == "values differ"


def test_a_rival_that_cannot_run_is_shown_with_its_reason():
    figure = Figure.missing("rival", "no rule for Conv1D")
    assert figure.verdict == "not measured"
    assert table_of([figure]).row_count == 1
