import numpy as np
import pytest
import torch

from spectra_cli.extract.measurements.algebra import gram
from spectra_cli.extract.measurements.algebra.gram import (
    add_gram_,
    mirror_upper_,
    packed_quadratic_forms,
    packed_size,
    tiles,
)


# below, at, and beyond one tile, and several tiles with a short last one
@pytest.mark.parametrize("n", [1, 5, 256, 257, 700])
def test_gram_of_rows_that_come_in_chunks(n):
    rows = torch.randn(n, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = torch.zeros(n, n, dtype=torch.float64)
    for chunk in rows.split(4, dim=1):
        add_gram_(total, chunk)
    returned = mirror_upper_(total)
    assert returned is total
    assert torch.equal(total, total.T)
    torch.testing.assert_close(total, rows @ rows.T, rtol=0, atol=1e-13 * float(total.diagonal().max()))


@pytest.mark.parametrize("n", [1, 32, 33, 300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_quadratic_forms_of_a_packed_matrix(n, dtype):
    rng = np.random.default_rng(0)
    square, axes = rng.normal(size=(n, n)), rng.normal(size=(n, 7))
    matrix = (square + square.T).astype(dtype)
    packed = np.concatenate([matrix[own, own.start :].ravel() for own in tiles(n)])
    assert len(packed) == packed_size(n)
    expected = np.einsum("ij,ik,kj->j", axes, matrix.astype(np.float64), axes)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    found = packed_quadratic_forms(packed, axes)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max() * n**0.5)


def test_mirror_reads_the_upper_triangle_only():
    total = torch.tensor([[1.0, 2.0, 3.0], [9.0, 4.0, 5.0], [9.0, 9.0, 6.0]])
    expected = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    assert torch.equal(mirror_upper_(total), expected)


def test_nan_stays_in_its_own_row_and_column():
    rows = torch.randn(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[270, 1] = float("nan")
    total = torch.zeros(300, 300, dtype=torch.float64)
    add_gram_(total, rows)
    bad = mirror_upper_(total).isnan()
    assert bad[270].all()
    assert bad[:, 270].all()
    assert int(bad.sum()) == 599


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (128, 5000), (300, 1031)])
def test_one_core_comes_to_the_same(shape, monkeypatch):
    monkeypatch.setattr(gram, "_CHUNK_BYTES", 2**16)
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    found, wide = torch.from_numpy(gram.gram_on_one_core(rows.numpy())), rows.double()
    assert torch.equal(found, found.T)
    torch.testing.assert_close(found, wide @ wide.T, rtol=0, atol=1e-13 * float(found.diagonal().max()))


def test_on_one_core_nan_stays_in_its_own_row_and_column():
    rows = np.random.default_rng(0).normal(size=(300, 3))
    rows[270, 1] = np.nan
    bad = np.isnan(gram.gram_on_one_core(rows))
    assert bad[270].all()
    assert bad[:, 270].all()
    assert int(bad.sum()) == 599


def test_singular_values_of_wide_gradients_are_nearer_than_those_of_a_float32_svd():
    """64 gradients of 32,768 entries with singular values 1 / i, against their float64 decomposition."""
    generator = torch.Generator().manual_seed(0)
    right = torch.linalg.qr(torch.randn(32_768, 64, generator=generator, dtype=torch.float64)).Q
    left = torch.linalg.qr(torch.randn(64, 64, generator=generator, dtype=torch.float64)).Q
    rows = ((left / torch.arange(1, 65)) @ right.T).float()
    exact = torch.linalg.svdvals(rows.double())
    kernel = torch.zeros(64, 64, dtype=torch.float64)
    add_gram_(kernel, rows.double())
    found = torch.linalg.eigvalsh(mirror_upper_(kernel)).flip(0).sqrt()
    single = torch.linalg.svdvals(rows).double()
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=0)
    assert float(((single - exact) / exact).abs().max()) > 1e-6
