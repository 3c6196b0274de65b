import numpy as np
import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.measurements.algebra.eigen import eigenvalue_zero_threshold, symmetric_eigen


def symmetric(values, seed=0):
    n = len(values)
    basis = torch.linalg.qr(
        torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ).Q
    return (basis * torch.tensor(values, dtype=torch.float64)) @ basis.T, basis


@pytest.mark.parametrize("vectors", [True, False])
def test_planted_eigenvalues_descend(vectors):
    planted = [5.0, 3.0, 1.0, 1e-8]
    matrix, _ = symmetric(planted)
    values, found = symmetric_eigen(matrix, vectors=vectors)
    np.testing.assert_allclose(values, planted, rtol=0, atol=1e-14)  # d eps lambda_1
    assert values.dtype == np.float64
    assert found.numel() == (16 if vectors else 0)


def test_vectors_are_columns_in_the_order_of_the_values():
    planted = [5.0, 3.0, 1.0]
    matrix, basis = symmetric(planted)
    values, found = symmetric_eigen(matrix, vectors=True)
    torch.testing.assert_close((found.T @ basis).abs(), torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(matrix @ found, found * torch.from_numpy(values.copy()))


def test_a_float32_matrix_is_widened_first():
    matrix = torch.diag(torch.tensor([1.0, 1e-12], dtype=torch.float32))
    values, _ = symmetric_eigen(matrix, vectors=False)
    np.testing.assert_allclose(values, [1.0, 1e-12], rtol=1e-7)


def test_zero_matrix():
    values, _ = symmetric_eigen(torch.zeros(3, 3), vectors=False)
    assert not values.any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_entries_are_refused(bad):
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[1, 1] = bad
    with pytest.raises(ModelError, match="--dtype float64"):
        symmetric_eigen(matrix, vectors=False)


def test_an_eigenvalue_too_negative_to_be_rounding_is_a_defect():
    with pytest.raises(ModelError, match="positive semi-definite"):
        symmetric_eigen(torch.diag(torch.tensor([1.0, -1e-6], dtype=torch.float64)), vectors=True)
    values, _ = symmetric_eigen(torch.diag(torch.tensor([1.0, -1e-14], dtype=torch.float64)), vectors=True)
    assert values[-1] == -1e-14


def test_zero_threshold():
    eps = np.finfo(np.float64).eps
    assert eigenvalue_zero_threshold(2.0, 10, 30) == 60 * eps
    assert eigenvalue_zero_threshold(2.0, 30, 10) == 60 * eps
    assert eigenvalue_zero_threshold(-1.0, 30, 10) == 0.0
