"""Phases planted in noisy paths (specs H)."""

import numpy as np
import pytest

from spectra_cli.analysis.phases import find_phases, turning_points

TRIALS = 400
NOISE = 0.02


def planted(generator, levels, number=40):
    """log-spaced tokens; the path runs straight in log tokens between (share, height) points."""
    tokens = np.logspace(6, 10, number)
    place = np.linspace(0, 1, number)
    path = np.interp(place, *zip(*levels, strict=True))
    return tokens, path + NOISE * generator.normal(size=number), path


def phases_of(tokens, path, alpha=None):
    alpha = -path if alpha is None else alpha
    errors = np.full(path.size, NOISE)
    return find_phases(tokens, path, errors, alpha, errors)


def test_three_planted_phases_and_their_boundaries():
    """-0.5 over the first tenth of log-tokens, +0.8 to 65 %, then -0.4."""
    generator = np.random.default_rng(0)
    levels = [(0, 4.0), (0.1, 3.5), (0.65, 4.3), (1, 3.9)]
    good = 0
    for _ in range(TRIALS):
        tokens, path, _ = planted(generator, levels)
        found = phases_of(tokens, path)
        names = [s.name for s in found]
        near = [abs(s.last - where) <= 2 for s, where in zip(found, (3.9, 25.35), strict=False)]
        good += names == ["warmup", "entropy-seeking", "compression-seeking"] and all(near)
    # specs H: at least 99 %; one standard error of 400 trials is 0.5 %
    assert good / TRIALS >= 0.985


def test_constant_and_noise_is_one_flat_segment():
    generator = np.random.default_rng(1)
    flat = sum(
        [s.name for s in phases_of(*planted(generator, [(0, 4.0), (1, 4.0)])[:2])] == ["flat"]
        for _ in range(TRIALS)
    )
    assert flat / TRIALS >= 0.95


def test_a_monotone_decrease_has_no_entropy_seeking():
    tokens, path, _ = planted(np.random.default_rng(2), [(0, 5.0), (1, 3.0)])
    assert [s.name for s in phases_of(tokens, path)] == ["compression-seeking"]


def test_rank_and_alpha_that_rise_together_are_discordant():
    tokens, path, _ = planted(np.random.default_rng(3), [(0, 3.0), (1, 5.0)])
    assert [s.name for s in phases_of(tokens, path, alpha=path)] == ["discordant"]


@pytest.mark.parametrize("sign", [1, -1])
def test_turning_points_of_a_zigzag(sign):
    path = sign * np.array([0.0, 2.0, 1.8, 4.0, 1.0, 1.2, 0.5, 3.0])
    assert turning_points(path, 1.0) == [0, 3, 6, 7]
    assert turning_points(path, 10.0) == [0, 7]
