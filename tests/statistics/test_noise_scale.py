from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.core.types import Scalar, Site, Status
from spectra_cli.statistics.jackknife import standard_error
from spectra_cli.statistics.noise_scale import noise_scale_rows, noise_scales


def signal_and_noise(gradients):
    """|G|^2 without bias, and tr Sigma, from their definition."""
    n = len(gradients)
    gram = gradients @ gradients.T
    signal = (gram.sum() - np.trace(gram)) / (n * (n - 1))
    return signal, np.trace(np.cov(gradients.T))


def scalars_of(gradients, num_blocks=16, address="blocks.0.attn.q"):
    """The two scalars of a matrix with exact delete-one-block replicates."""
    size = len(gradients) // num_blocks
    without = [np.delete(gradients, np.s_[b * size : (b + 1) * size], axis=0) for b in range(num_blocks)]
    whole, replicates = signal_and_noise(gradients), np.array([signal_and_noise(g) for g in without]).T
    return [
        Scalar(
            name=name,
            site=Site.parse(address),
            measurement="gradient_covariance",
            value=value,
            unit="(nats/param)^2",
            delete_one_block=deleted,
            block_sizes=(size,) * num_blocks,
        )
        for name, value, deleted in zip(("gradient_signal", "gradient_noise"), whole, replicates, strict=True)
    ]


def regression_gradients(rng, num_samples=1600, width=20, slope=1.0, noise=2.0):
    """g = x (x . Delta - epsilon), whose noise scale is known."""
    delta = np.full(width, slope / np.sqrt(width))
    x = rng.standard_normal((num_samples, width))
    residual = x @ delta - noise * rng.standard_normal(num_samples)
    return x * residual[:, None], (slope**2 * (width + 1) + noise**2 * width) / slope**2


def empty(name, status, address):
    return Scalar(
        name=name,
        site=Site.parse(address),
        measurement="gradient_covariance",
        value=np.nan,
        unit="(nats/param)^2",
        status=status,
    )


def test_a_regression_has_its_known_noise_scale():
    gradients, expected = regression_gradients(np.random.default_rng(0))
    of_matrix, pooled = noise_scales(scalars_of(gradients), step=7)
    # Three standard errors, fixed seed.
    assert abs(np.log(of_matrix.value / expected)) < 3 * of_matrix.details["log_stderr"]
    assert of_matrix.details["log_stderr"] < 0.2
    assert of_matrix.stderr == pytest.approx(of_matrix.value * of_matrix.details["log_stderr"], rel=1e-12)
    assert (of_matrix.unit, of_matrix.status, of_matrix.step) == ("sequences", "ok", 7)
    assert of_matrix.site == Site.parse("blocks.0.attn.q")
    assert pooled.site is None
    assert pooled.value == pytest.approx(of_matrix.value, rel=1e-12)


def test_the_standard_error_is_the_spread_over_fresh_samples():
    rng = np.random.default_rng(1)
    draws = [noise_scales(scalars_of(regression_gradients(rng, 320, 5)[0]), step=0)[0] for _ in range(200)]
    spread = np.std([np.log(d.value) for d in draws], ddof=1)
    typical = np.sqrt(np.mean([d.details["log_stderr"] ** 2 for d in draws]))
    # The spread is known to 5 %, a jackknife of a skewed ratio to somewhat less.
    assert 0.97 * 0.84 <= typical / spread <= 1.31 * 1.16


def test_pooling_divides_sums():
    rng = np.random.default_rng(2)
    first = scalars_of(regression_gradients(rng, slope=1.0)[0], address="blocks.0.attn.q")
    second = scalars_of(regression_gradients(rng, slope=3.0)[0], address="blocks.1.attn.q")
    *of_matrices, pooled = noise_scales([*second, *first], step=0)
    assert len(of_matrices) == 2
    (s1, n1), (s2, n2) = first, second
    assert pooled.value == pytest.approx((n1.value + n2.value) / (s1.value + s2.value), rel=1e-12)
    logs = np.log((n1.delete_one_block + n2.delete_one_block) / (s1.delete_one_block + s2.delete_one_block))
    expected = standard_error(np.array([np.log(pooled.value), *logs]), s1.block_sizes)
    assert pooled.details["log_stderr"] == pytest.approx(expected, rel=1e-9)
    assert pooled.details["num_matrices"] == 2


def test_pure_noise_is_unresolved():
    gradients = np.random.default_rng(3).standard_normal((64, 8))
    gradients -= gradients.mean(axis=0)
    of_matrix, pooled = noise_scales(scalars_of(gradients), step=0)
    assert of_matrix.status == pooled.status == "unresolved"
    assert "too few" in of_matrix.reason
    assert np.isnan(of_matrix.value)


def test_zero_gradients_add_nothing_and_gaps_are_told():
    measured = scalars_of(regression_gradients(np.random.default_rng(4))[0])
    zero = [empty(name, Status.ZERO, "blocks.1.attn.q") for name in ("gradient_signal", "gradient_noise")]
    broken = [
        empty(name, Status.NONFINITE, "blocks.2.attn.q") for name in ("gradient_signal", "gradient_noise")
    ]
    alone = noise_scales(measured, step=0)[-1]
    first, of_zero, pooled = noise_scales([*measured, *zero], step=0)
    assert (of_zero.status, pooled.status) == ("zero", "ok")
    assert pooled.value == first.value == alone.value
    *_, of_broken, gappy = noise_scales([*measured, *zero, *broken], step=0)
    assert (of_broken.status, gappy.status) == ("nonfinite", "partial")
    assert "1 of 3" in gappy.reason


def test_other_scalars_have_no_noise_scale():
    signal, noise = scalars_of(regression_gradients(np.random.default_rng(5))[0])
    assert noise_scales([signal], step=0) == ()
    assert noise_scales([noise], step=0) == ()


def test_the_rows_are_the_number_and_its_replicates_undefined_where_the_signal_is_not_positive():
    gradients, _ = regression_gradients(np.random.default_rng(0))
    signal, noise = scalars_of(gradients)
    rows = noise_scale_rows(signal, noise)
    assert rows[0] == noise_scales([signal, noise], step=0)[0].value
    assert rows.shape == (17,)
    nothing = replace(signal, value=-1e-9)
    assert np.isnan(noise_scale_rows(nothing, noise)[0])
