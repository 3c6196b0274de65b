"""Distances at a point: the same numbers as the plain functions, with noise of the right size."""

import math

import numpy as np
import pytest

from spectra_cli.analysis.compare.aligned.spectra_at import arounds, spectra_at
from spectra_cli.analysis.compare.distances.spectra import distances
from spectra_cli.analysis.compare.quantities import DISTANCES, tail_window
from tests.builders import plain_distances as plain

D = 64


@pytest.fixture
def at(point):
    """The spectrum of some rows, at a point that is a checkpoint."""

    def build(spectrum):
        here = point([spectrum])
        return spectra_at(here, list(arounds(here).values()))

    return build


def rows(generator, n=512, exponent=1.0, d=D):
    return generator.normal(size=(n, d)) * np.arange(1, d + 1) ** (-exponent / 2)


def found(first, second, *, paired=True):
    (here,) = distances(first, second, list(DISTANCES), paired=paired)
    return {name: (one, why) for name, one, why in here}


def test_the_values_are_those_of_the_plain_distances(at, sampled):
    generator = np.random.default_rng(0)
    a, b = sampled(rows(generator)), sampled(rows(generator, exponent=1.2))
    result = {name: one.delta for name, (one, _) in found(at(a), at(b)).items()}
    low, high = tail_window(a)
    p, q = a.values, b.values
    expected = {
        "jensen_shannon": plain.jensen_shannon(p, q),
        "rank_wasserstein": plain.rank_wasserstein(p, q),
        "log_spectral_distance_head": plain.log_spectral_distance(p, q, 1, 10),
        "log_spectral_distance_tail": plain.log_spectral_distance(p, q, low, high),
        "head_movement": plain.head_movement(p, q),
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(float(value), rel=1e-10), name


def test_a_spectrum_is_at_distance_zero_from_itself_with_certainty(at, sampled):
    a = sampled(rows(np.random.default_rng(1)))
    for one, why in found(at(a), at(a)).values():
        assert (one.delta, one.stderr, one.p_value, why) == (0.0, 0.0, 1.0, "")
        assert one.floor > 0


def test_a_planted_change_of_shape_is_found_and_a_change_of_scale_is_none(at, sampled):
    generator = np.random.default_rng(2)
    noise = generator.normal(size=(512, D))
    scales = np.arange(1, D + 1) ** -0.5
    a, scaled, steeper = (sampled(noise * s) for s in (scales, 3 * scales, scales**1.6))
    for one, _ in found(at(a), at(scaled)).values():
        assert one.delta == pytest.approx(0.0, abs=1e-10)
    for name, (one, _) in found(at(a), at(steeper)).items():
        assert one.p_value < 1e-3, name
        assert one.delta > one.floor, name


def test_other_numbers_of_samples_have_no_distance(at, sampled):
    generator = np.random.default_rng(3)
    for one, why in found(at(sampled(rows(generator))), at(sampled(rows(generator, 1024)))).values():
        assert math.isnan(one.delta)
        assert "512 samples in A and 1024" in why


def test_other_widths_are_compared_at_relative_ranks_and_say_so(at, sampled):
    """lambda = (j/d)^-1 at both widths: the same curve of relative rank."""
    generator = np.random.default_rng(4)
    a, b = (sampled(rows(generator, 8192, d=d)) for d in (64, 128))
    result = found(at(a), at(b), paired=False)
    assert all(name.endswith("_frac") for name in result)
    # sampling noise of 8192 rows is about sqrt(2/8192) = 0.016 a log eigenvalue
    assert result["log_spectral_distance_tail_frac"][0].delta < 0.05
    assert result["jensen_shannon_frac"][0].delta < 2e-3


def test_spectra_without_blocks_have_a_distance_and_no_noise(at, weight):
    a, b = weight(np.arange(64, 0, -1.0)), weight(np.arange(64, 0, -1.0) ** 1.1)
    one, why = found(at(a), at(b))["jensen_shannon"]
    expected = plain.jensen_shannon(a.eigenvalues(), b.eigenvalues())
    assert one.delta == pytest.approx(float(expected), rel=1e-10)
    assert math.isnan(one.stderr)
    assert why == ""


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_equal_models_exceed_the_noise_in_at_most_one_case_in_twenty(at, sampled, paired):
    generator = np.random.default_rng(5)
    trials, wrong, above = 400, dict.fromkeys(DISTANCES, 0), dict.fromkeys(DISTANCES, 0)
    for _ in range(trials):
        shared = generator.normal(size=(512, D))
        own = generator.normal(size=(2, 512, D))
        # on one probe half of the variance is common to both models
        both = math.sqrt(0.5) * (shared + own) if paired else own
        a, b = (sampled(x * np.arange(1, D + 1) ** -0.5) for x in both)
        for name, (one, _) in found(at(a), at(b), paired=paired).items():
            wrong[name] += one.p_value < 0.05
            above[name] += one.delta > one.floor
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert max(wrong.values()) / trials <= limit, wrong
    assert max(above.values()) / trials <= limit, above
