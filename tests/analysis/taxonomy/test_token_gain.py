"""Tokens at matched loss, and what may be called a gain."""

import math

import pytest

from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.taxonomy.token_gain import Performance, Tokens, TokensAt, performance, tokens_at

HALF = Bracket(before=0, after=1, share=0.5, gap=0.0)


def run(tokens, interpolation=0.0, per_nat=math.nan):
    return TokensAt(tokens=tokens, interpolation=interpolation, per_nat=per_nat)


def test_tokens_are_log_linear_and_the_other_rule_is_the_error():
    found = tokens_at([100.0, 400.0], HALF, [4.0, 3.0])
    assert found.tokens == pytest.approx(200.0, rel=1e-12)
    assert found.interpolation == pytest.approx(250 / 200 - 1, rel=1e-12)
    # a nat less takes four times the tokens
    assert found.per_nat == pytest.approx(-math.log(4), rel=1e-12)


def test_a_checkpoint_itself_has_no_interpolation():
    found = tokens_at([100.0, 400.0], Bracket(before=1, after=1, share=0.0, gap=0.0), [4.0, 3.0])
    assert (found.tokens, found.interpolation) == (400.0, 0.0)


def test_from_the_start_nothing_is_known_and_nothing_is_claimed():
    found = performance(tokens_at([0.0, 100.0], HALF), run(20.0))
    assert found.tokens is Tokens.UNKNOWN
    assert performance(tokens_at([None, 100.0], HALF), run(20.0)).tokens is Tokens.UNKNOWN


@pytest.mark.parametrize(
    ("gain", "error", "expected"),
    [
        (0.05, 0.01, Tokens.FEWER),
        (0.05, 0.04, Tokens.UNKNOWN),
        (0.01, 0.005, Tokens.SAME),
        (0.01, 0.02, Tokens.UNKNOWN),
        (-0.05, 0.01, Tokens.MORE),
        (math.nan, 0.0, Tokens.UNKNOWN),
    ],
)
def test_a_gain_counts_with_its_error_against_it(gain, error, expected):
    assert Performance(token_gain=gain, token_gain_error=error).tokens is expected


def test_noise_of_the_loss_is_noise_of_the_tokens():
    quiet = performance(run(120.0, per_nat=-5.0), run(100.0), loss_stderr=0.0)
    assert quiet.token_gain == pytest.approx(0.2, rel=1e-12)
    assert (quiet.token_gain_error, quiet.tokens) == (0.0, Tokens.FEWER)
    assert math.isnan(quiet.throughput_gain)
    noisy = performance(run(120.0, per_nat=-5.0), run(100.0), loss_stderr=0.01, throughput_ratio=1.1)
    assert noisy.token_gain_error == pytest.approx(1.2 * 2 * 0.01 * 5, rel=1e-12)
    assert noisy.throughput_gain == pytest.approx(0.1, rel=1e-12)


def test_a_gain_whose_error_is_unknown_is_no_gain():
    unknown = performance(run(120.0, per_nat=-5.0), run(100.0, per_nat=-5.0))
    assert unknown.token_gain == pytest.approx(0.2, rel=1e-12)
    assert math.isnan(unknown.token_gain_error)
    assert unknown.tokens is Tokens.UNKNOWN
    # nor one of runs at a checkpoint each, where no nat is known in tokens
    assert performance(run(120.0), run(100.0), loss_stderr=0.01).tokens is Tokens.UNKNOWN
