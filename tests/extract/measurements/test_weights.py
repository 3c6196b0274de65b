"""Oracles C7 that concern the singular values themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from spectra_cli.core.types import Site, SpectrumKind, Status
from spectra_cli.extract.measurements.weights import WeightSpectra, singular_values
from spectra_cli.extract.protocols import MatrixView


def view_of(weight, **changes):
    module = nn.Linear(1, 1, bias=False)
    module.weight = nn.Parameter(weight, requires_grad=False)
    return MatrixView(site=Site(layer=0, component="attn.q", name="q.weight"), module=module, **changes)


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


def test_rank_one_and_zero():
    (spectrum,) = (
        WeightSpectra(views=(view_of(torch.outer(torch.arange(1.0, 5), torch.ones(6))),)).finish().spectra
    )
    np.testing.assert_allclose(spectrum.values[0], np.sqrt(30 * 6), rtol=1e-6)
    assert spectrum.num_zero == 3
    (spectrum,) = WeightSpectra(views=(view_of(torch.zeros(4, 6)),)).finish().spectra
    assert not spectrum.values.any()
    assert spectrum.num_zero == 4


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


def test_a_view_takes_its_rows_and_its_transpose():
    stored = torch.randn(6, 12, generator=torch.Generator().manual_seed(3))
    (spectrum,) = WeightSpectra(views=(view_of(stored, transposed=True, rows=slice(4, 8)),)).finish().spectra
    assert (spectrum.num_samples, spectrum.ambient_dim) == (4, 6)  # fan_out x fan_in
    assert spectrum.kind is SpectrumKind.SINGULAR_VALUES
    assert spectrum.unit == "weight_unit"
    np.testing.assert_allclose(
        spectrum.values, np.linalg.svd(stored[:, 4:8].numpy(), compute_uv=False), rtol=1e-5
    )


def test_non_finite_weights_are_skipped_by_name_and_the_others_measured():
    spoiled = torch.ones(3, 4)
    spoiled[0, 0] = float("inf")
    spoiled[1, 2] = float("nan")
    measured = WeightSpectra(views=(view_of(spoiled), view_of(torch.eye(3)))).finish()
    (skipped,) = measured.skipped
    assert skipped.status is Status.NONFINITE
    assert skipped.reason == "2 of 12 weights are NaN or infinity"
    assert len(measured.spectra) == 1
