"""Oracles C7 that concern the singular values themselves, and the vectors beside them."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.measurements.algebra.singular import (
    NonFiniteWeightError,
    eigenvalue_zero_threshold,
    leading_singular,
    singular_values,
    symmetric_eigen,
)


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


def with_singular_values(sigma, rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    k = len(sigma)
    left = torch.linalg.qr(torch.randn(rows, k, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(columns, k, generator=generator, dtype=torch.float64)).Q
    return (left * torch.as_tensor(sigma, dtype=torch.float64)) @ right.T


@pytest.mark.parametrize("shape", [(40, 40), (20, 60), (60, 20), (1, 7), (7, 1)])
def test_numpys_svd(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(singular_values(weight), expected, rtol=0, atol=1e-12 * expected[0])


@pytest.mark.parametrize("smallest", [1e-3, 1e-5, 1e-7, 1e-12])
@pytest.mark.parametrize("shape", [(30, 30), (30, 50)])
def test_planted_values_over_many_decades(shape, smallest):
    # The Gram would lose what is below 1e-8 sigma_1; below 1e-5 the SVD takes over. Either way each value
    # is right to the SVD's own absolute error, and to 1e-6 of itself where it is not below 1e-5 sigma_1.
    planted = np.geomspace(1.0, smallest, 30)
    found = singular_values(with_singular_values(planted, *shape))
    np.testing.assert_allclose(found, planted, rtol=1e-6, atol=2e-15)


def test_diagonal():
    found = singular_values(torch.diag(torch.tensor([0.5, 3.0, 2.0])))
    np.testing.assert_allclose(found, [3.0, 2.0, 0.5], rtol=1e-15)


def test_largest_singular_value_of_a_gaussian_square():
    # sigma_1 / (2 s sqrt(n)) = 0.995 +- 0.005 at n = 768 (C7)
    weight = 0.02 * torch.randn(768, 768, generator=torch.Generator().manual_seed(0))
    assert singular_values(weight)[0] / (2 * 0.02 * np.sqrt(768)) == pytest.approx(0.995, abs=0.005)


def test_a_planted_spike_above_the_bulk():
    # m = 512, n = 1024, theta = 2 (m n)^(1/4): sigma_1 = 67.9 +- 0.7 (C7)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(512, 1024, generator=generator)
    spike = 2 * (512 * 1024) ** 0.25 * with_singular_values([1.0], 512, 1024).float()
    assert singular_values(noise + spike)[0] == pytest.approx(67.9, abs=0.7)


def test_transposition_rotation_and_scale():
    weight = torch.randn(12, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = singular_values(weight)
    rotation = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64)).Q
    for same in (weight.T, rotation @ weight, weight / 7):
        scale = 7 if same.shape == weight.shape and torch.equal(same, weight / 7) else 1
        np.testing.assert_allclose(scale * singular_values(same), values, rtol=0, atol=1e-13 * values[0])


@pytest.mark.parametrize("smallest", [0.1, 1e-2, 1e-4, 1e-9])
@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (30, 30)])
def test_leading_vectors_are_those_of_the_svd(shape, smallest):
    # 30 values down to `smallest`: from the Gram matrix while the 8th is above 1e-3, from the SVD beyond
    weight = with_singular_values(np.geomspace(1.0, smallest, 30), *shape)
    values, left, right = leading_singular(weight, 8)
    u, expected, vt = np.linalg.svd(weight.numpy())
    # a Gram's eigenvector is off by eps sigma_1^2 / (sigma_i^2 - sigma_j^2): below 1e-9 here, a hundredth
    # of the float32 that vectors are kept in
    np.testing.assert_allclose(values, expected[:30], rtol=1e-6, atol=1e-14)
    for found, wanted in ((left, u[:, :8]), (right, vt[:8].T)):
        np.testing.assert_allclose(found.T @ found, np.eye(8), atol=1e-12)
        assert np.abs((found * wanted).sum(0)) == pytest.approx(np.ones(8), abs=1e-12)
        assert subspace_angles(found, wanted).max() < 1e-8
    # signs agree between the sides, so that they reconstruct
    np.testing.assert_allclose(left.T @ weight.numpy() @ right, np.diag(values[:8]), atol=1e-9)


def test_more_vectors_than_there_are_and_a_matrix_of_zeros():
    values, left, right = leading_singular(torch.zeros(3, 5), 9)
    assert (values.shape, left.shape, right.shape) == ((3,), (3, 3), (5, 3))
    np.testing.assert_allclose(right.T @ right, np.eye(3), atol=1e-12)
    spoiled = torch.ones(3, 4)
    spoiled[0, 0] = float("nan")
    with pytest.raises(NonFiniteWeightError, match="1 of 12"):
        leading_singular(spoiled, 2)
