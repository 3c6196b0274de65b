"""Phases planted in noisy paths."""

import numpy as np
import pytest

from spectra_cli.analysis.estimates import Estimated
from spectra_cli.analysis.phases.segments import Path, boundary, find_phases, turning_points
from tests.builders.difference import difference

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
    return find_phases(tokens, Path(values=path, stderrs=errors), Path(values=alpha, stderrs=errors))


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
    # at least 99 %; one standard error of 400 trials is 0.5 %
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


def test_a_contraction_at_the_start_of_what_was_scanned_is_no_warmup_late_in_training():
    path = np.array([5.0, 4.0, *np.linspace(4.0, 5.0, 8)])
    names = {start: [s.name for s in phases_of(np.linspace(start, 100.0, 10), path)] for start in (0.0, 25.0)}
    # the turn is at the second checkpoint: at 11 % and at 33 % of training
    assert names == {0.0: ["compression-seeking", "entropy-seeking"], 25.0: names[0.0]}
    early = [s.name for s in phases_of(np.array([0.0, 5.0, *np.linspace(12.0, 100.0, 8)]), path)]
    assert early == ["warmup", "entropy-seeking"]
    # 7 % of what was scanned, but 30 % of training
    late = [s.name for s in phases_of(np.array([25.0, 30.0, *np.linspace(37.0, 100.0, 8)]), path)]
    assert late == names[0.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_turning_points_of_a_zigzag(sign):
    path = sign * np.array([0.0, 2.0, 1.8, 4.0, 1.0, 1.2, 0.5, 3.0])
    assert turning_points(path, 1.0) == [0, 3, 6, 7]
    assert turning_points(path, 10.0) == [0, 7]


def estimated(values, noise):
    """Numbers over checkpoints whose delete-one-block values scatter by `noise`, one row a checkpoint."""
    rows = np.asarray(values)[:, None] + np.hstack([np.zeros((len(values), 1)), noise])
    return [Estimated(per_row=row, block_sizes=(1,) * noise.shape[1]) for row in rows]


def test_noise_that_all_checkpoints_share_cancels_in_a_change():
    shared = np.tile(np.random.default_rng(4).normal(size=8), (5, 1))
    path = Path.of(estimated(np.arange(5.0), shared))
    assert path.stderrs[0] > 0.5
    assert path.change_stderr(0, 4) == pytest.approx(0.0, abs=1e-12)
    assert path.noise() == pytest.approx(0.0, abs=1e-12)


def test_noise_of_each_checkpoint_is_that_of_the_difference():
    noise = np.random.default_rng(5).normal(size=(2, 8))
    first, last = estimated([1.0, 2.0], noise)
    path = Path.of([first, last])
    found = difference(first, last, paired=True, margin=0.05)
    assert path.change_stderr(0, 1) == pytest.approx(found.stderr, rel=1e-12)
    # independent noise: a step scatters by root 2 of a checkpoint
    assert path.noise() == pytest.approx(found.stderr / np.sqrt(2), rel=1e-12)


def test_other_blocks_or_none_add_errors_in_squares():
    first, last = estimated([1.0, 2.0], np.random.default_rng(6).normal(size=(2, 8)))
    other = Estimated(per_row=last.per_row[:-1], block_sizes=(1,) * 7)
    path = Path.of([first, other])
    assert path.change_stderr(0, 1) == pytest.approx(np.hypot(first.stderr, other.stderr), rel=1e-12)
    plain = Path(values=np.array([1.0, 2.0]), stderrs=np.array([3.0, 4.0]))
    assert plain.change_stderr(0, 1) == pytest.approx(5.0)
    assert np.isnan(Path(values=np.ones(3), stderrs=np.full(3, np.nan)).noise())


def test_changes_without_a_standard_error_have_no_sign():
    tokens, path, _ = planted(np.random.default_rng(7), [(0, 4.0), (0.3, 3.0), (1, 5.0)])
    unknown = np.full(path.size, np.nan)
    found = find_phases(tokens, Path(values=path, stderrs=unknown), Path(values=-path, stderrs=unknown))
    assert [s.name for s in found] == ["flat"]


# (share of the path, height), where the first extreme truly lies, how wide its range is on average
SHAPES = {
    "a peak": ([(0, 4.0), (0.5, 4.8), (1, 4.0)], 0.5, (4, 8)),
    "a trough": ([(0, 4.8), (0.5, 4.0), (1, 4.8)], 0.5, (4, 8)),
    "a slow fall after a fast rise": ([(0, 4.0), (0.2, 4.8), (1, 4.4)], 0.2, (6, 14)),
    "a plateau": ([(0, 4.0), (0.3, 4.79), (0.4, 4.8), (0.7, 4.79), (1, 4.0)], 0.4, (15, 21)),
}


@pytest.mark.parametrize("num_blocks", [0, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_range_of_a_boundary_holds_it(shape, num_blocks):
    """With errors that are known, and with those that 16 blocks of the probe tell."""
    levels, where, (narrow, wide) = SHAPES[shape]
    generator = np.random.default_rng(8)
    held, widths = 0, []
    for _ in range(TRIALS):
        tokens, path, quiet = planted(generator, levels)
        if num_blocks:
            blocks = NOISE * np.sqrt(num_blocks) * generator.normal(size=(path.size, num_blocks))
            means = blocks.mean(axis=1, keepdims=True)
            without = (means * num_blocks - blocks) / (num_blocks - 1)
            rows = quiet[:, None] + np.hstack([means, without])
            sizes = (1,) * num_blocks
            log_rank, alpha = (
                Path.of([Estimated(per_row=row, block_sizes=sizes) for row in both]) for both in (rows, -rows)
            )
            first = find_phases(tokens, log_rank, alpha)[0]
        else:
            first = phases_of(tokens, path)[0]
        held += first.earliest <= where * (path.size - 1) <= first.latest
        widths.append(first.latest - first.earliest)
    # at least 95 %; two standard errors of 400 trials are 2.2 %
    assert held / TRIALS >= 0.95 - 0.022
    assert narrow < np.mean(widths) < wide


def test_what_has_no_error_cannot_be_told_apart():
    path = Path(values=np.array([0.0, 1.0, 0.9, 0.0]), stderrs=np.array([0.0, 0.0, np.nan, 0.0]))
    assert boundary(path, [0, 1, 3], 1) == (0, 3)
    known = Path(values=path.values, stderrs=np.zeros(4))
    assert boundary(known, [0, 1, 3], 1) == (0, 2)
    assert boundary(known, [0, 1, 3], 2) == (3, 3)
