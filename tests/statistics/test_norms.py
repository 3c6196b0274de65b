from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate


@pytest.fixture
def matrix():
    return np.random.default_rng(0).standard_normal((12, 20))


@pytest.fixture
def weight(matrix, spectrum_of):
    return spectrum_of(np.linalg.svd(matrix, compute_uv=False) ** 2, "weight")


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("frobenius_norm", lambda m: np.linalg.norm(m)),
        ("spectral_norm", lambda m: np.linalg.norm(m, 2)),
        ("condition", lambda m: np.linalg.cond(m)),
        ("stable_rank", lambda m: (np.linalg.norm(m) / np.linalg.norm(m, 2)) ** 2),
    ],
)
def test_norms_are_those_of_the_matrix(name, reference, matrix, weight):
    # Rounding of an SVD of 12 x 20 and of a square and its root.
    assert evaluate(STATISTICS[name], weight, step=0).value == pytest.approx(reference(matrix), rel=1e-10)


def test_condition_leaves_numerical_zeros_out(spectrum_of):
    spectrum = spectrum_of([4.0, 1.0, 1e-20, 0.0], "weight", zero_threshold=1e-9)
    condition = evaluate(STATISTICS["condition"], spectrum, step=0)
    assert condition.value == pytest.approx(2.0, rel=1e-15)
    assert condition.details["num_zero"] == 2


def test_weights_have_no_standard_error(weight):
    assert np.isnan(evaluate(STATISTICS["frobenius_norm"], weight, step=0).stderr)
