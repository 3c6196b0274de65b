"""A run over steps, tokens and losses, and what several have in common."""

import math

import numpy as np
import pytest

from spectra_cli.analysis.run import Axis, Loss, common_axis, common_loss
from spectra_cli.core.errors import DataError
from tests.builders.runs import planted_run

NAN = math.nan


def test_a_run_says_where_it_stands_and_nothing_where_it_does_not():
    run = planted_run("a", [8, 5, NAN], steps=[0, None, 20], tokens=[0, 10, None], validation=[None, 4, 3])
    np.testing.assert_array_equal(run.steps, [0, NAN, 20])
    np.testing.assert_array_equal(run.tokens, [0, 10, NAN])
    np.testing.assert_array_equal(run.on(Axis.STEP), run.steps)
    np.testing.assert_array_equal(run.on(Axis.TOKENS), run.tokens)
    np.testing.assert_array_equal(run.losses(Loss.PROBE), [8, 5, NAN])
    np.testing.assert_array_equal(run.losses(Loss.VALIDATION), [NAN, 4, 3])
    assert np.isnan(run.losses(Loss.TRAIN)).all()
    assert (len(run), run.num_left_out) == (3, 0)


def test_along_an_axis_those_without_a_position_are_left_out_and_counted():
    run = planted_run("a", [3, 2, 1], steps=[5, 10, None], tokens=[50, None, 70], train=[1, 2, 3])
    by_step, by_tokens = run.along(Axis.STEP), run.along(Axis.TOKENS)
    assert (by_step.places, by_tokens.places) == ((0, 1), (0, 2))
    assert by_tokens.num_left_out == 1
    np.testing.assert_array_equal(by_tokens.losses(Loss.PROBE), [3, 1])
    np.testing.assert_array_equal(by_tokens.losses(Loss.TRAIN), [1, 3])
    np.testing.assert_array_equal(by_tokens.steps, [5, NAN])
    assert [info.tokens_seen for info in by_tokens.infos] == [50, 70]
    assert by_tokens.along(Axis.STEP).places == (0,)


def test_no_position_at_all_says_what_to_do():
    with pytest.raises(DataError, match=r"no checkpoint says its steps.*run\.toml"):
        planted_run("a", [3, 2]).along(Axis.STEP)


def test_positions_ascend():
    assert planted_run("a", [3, 2, 1], tokens=[3, 3, 9]).along(Axis.TOKENS).places == (0, 1, 2)
    with pytest.raises(DataError, match="tokens do not ascend"):
        planted_run("a", [3, 2, 1], tokens=[5, 3, 9]).along(Axis.TOKENS)


def test_the_error_of_the_loss_is_the_median_of_its_jackknife():
    # two blocks: SE^2 = 1/2 sum of squares about the full value
    run = planted_run("a", [3, 2, 1], steps=[0, None, 2], replicates=[[3.1, 2.9], [2.3, 1.7], [1.1, 0.9]])
    assert run.loss_stderr == pytest.approx(0.1)
    assert planted_run("a", [3, 2]).loss_stderr == 0.0
    # of its own checkpoints, also where a middle one is left out
    other = planted_run("a", [3, 2, 1], steps=[None, 1, 2], replicates=[[3.5, 2.5], [2.2, 1.8], [1.4, 0.6]])
    assert other.along(Axis.STEP).loss_stderr == pytest.approx(0.3)


def test_tokens_count_only_where_every_run_has_them():
    known = planted_run("a", [1, 2], steps=[0, 1], tokens=[0, 10])
    unknown = planted_run("b", [1, 2], steps=[0, 1])
    fewer = planted_run("c", [1, 2], steps=[0, 1], tokens=[None, 10])
    more = planted_run("d", [1, 2], steps=[None, 1], tokens=[None, 10])
    assert common_axis([known]) is common_axis([more]) is Axis.TOKENS
    assert common_axis([known, unknown]) is common_axis([fewer]) is Axis.STEP


def test_the_first_loss_that_all_runs_have():
    a = planted_run("a", [3, 2], validation=[None, 2.0])
    b = planted_run("b", [NAN, NAN], validation=[3.0, 2.0])
    assert common_loss([a], None) is Loss.PROBE
    assert common_loss([a, b], None) is Loss.VALIDATION
    assert common_loss([a], Loss.VALIDATION) is Loss.VALIDATION
    with pytest.raises(DataError, match="probe: not in b"):
        common_loss([a, b], Loss.PROBE)
    with pytest.raises(DataError, match=r"train: not in a, b"):
        common_loss([a, b], Loss.TRAIN)


def test_units_and_words():
    assert [axis.unit for axis in Axis] == ["nats", "steps", "tokens"]
    assert [kind.words.split(" (")[0] for kind in Loss] == ["probe loss", "validation loss", "training loss"]
