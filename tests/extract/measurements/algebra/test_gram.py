import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra_cli.extract.measurements.algebra import gram
from spectra_cli.extract.measurements.algebra.gram import (
    ShiftedSums,
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


D = 6


def rows_of(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3.0 + torch.randn(n, D, generator=generator, dtype=torch.float64) * torch.arange(1, D + 1)


def sums_of(rows, shift=0.0, keep=None):
    sums = ShiftedSums(torch.full((D,), shift, dtype=torch.float64))
    sums.add(rows, torch.ones(len(rows), dtype=torch.bool) if keep is None else keep)
    return sums


def assert_two_pass(sums, rows, *, relative=1e-10):
    mean = rows.mean(0)
    expected = (rows - mean).T @ (rows - mean)
    found = sums.moment()
    assert float(sums.count) == len(rows)
    torch.testing.assert_close(sums.mean, mean, rtol=relative, atol=1e-14)
    torch.testing.assert_close(found, expected, rtol=0, atol=relative * float(expected.max()))
    assert torch.equal(found, found.T)
    torch.testing.assert_close(sums.trace(), expected.trace(), rtol=relative, atol=0)


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 40), max_size=5), shift=st.floats(-10, 10), seed=st.integers(0, 99))
def test_any_split_into_additions_is_the_two_pass_covariance(cuts, shift, seed):
    rows = rows_of(40, seed)
    sums = ShiftedSums(torch.full((D,), shift, dtype=torch.float64))
    for start, stop in itertools.pairwise([0, *sorted(cuts), 40]):
        sums.add(rows[start:stop], torch.ones(stop - start, dtype=torch.bool))
    assert_two_pass(sums, rows)


@settings(max_examples=40)
@given(data=st.data())
def test_any_split_and_order_of_merging_is_the_two_pass_covariance(data):
    """A11 (i), empty and one-row parts included."""
    rows = rows_of(30, data.draw(st.integers(0, 99)))
    cuts = sorted(data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=6)))
    parts = [rows[a:b] for a, b in itertools.pairwise([0, *cuts, 30])]
    order = data.draw(st.permutations(range(len(parts))))
    total, *others = (sums_of(parts[i], shift=2.0) for i in order)
    for other in others:
        total.take(other)
        assert float(other.count) == 0
        assert not other.moment().any()
    assert_two_pass(total, rows)


def test_rows_left_out_leave_no_trace():
    rows, keep = rows_of(20), torch.arange(20) % 3 != 0
    spoiled = rows.clone()
    spoiled[~keep] = float("nan")
    assert_two_pass(sums_of(spoiled, keep=keep), rows[keep])


@pytest.mark.parametrize("width", [1, 40, 300])
def test_packed_tiles_are_those_of_the_moment(width):
    rows = torch.randn(20, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = ShiftedSums(torch.full((width,), 0.3, dtype=torch.float64))
    sums.add(rows, torch.ones(20, dtype=torch.bool))
    moment, packed = sums.moment(), sums.packed_moment()
    assert len(packed) == packed_size(width)
    parts = [moment[own, own.start :].flatten() for own in tiles(width)]
    torch.testing.assert_close(packed, torch.cat(parts), rtol=0, atol=1e-13 * float(moment.max()))


def test_no_rows_at_all():
    empty, some = sums_of(rows_of(0)), sums_of(rows_of(9))
    assert float(empty.count) == 0
    assert not empty.moment().any()
    some.take(empty)
    assert_two_pass(some, rows_of(9))
    empty.take(some)
    assert_two_pass(empty, rows_of(9))


@pytest.mark.parametrize("mean", [300.0, 1e6])
def test_a_mean_far_beyond_the_spread_costs_no_digits(mean):
    """A9: one coordinate at 300, top standard deviation 1, lambda_j = j^-2, rows in float32."""
    d, n = 64, 4096
    generator = torch.Generator().manual_seed(0)
    scales = torch.arange(1, d + 1, dtype=torch.float64) ** -1.0
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64) * scales
    rows[:, 5] += mean
    rows = rows.float().double()
    sums = ShiftedSums(rows[:64].mean(0))
    for part in rows.split(256):
        sums.add(part, torch.ones(len(part), dtype=torch.bool))
    centred = rows - rows.mean(0)
    expected = torch.linalg.eigvalsh(centred.T @ centred / (n - 1))
    found = torch.linalg.eigvalsh(sums.moment() / (n - 1))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_duplicated_rows_leave_the_biased_covariance():
    """A11 (vi)."""
    rows = rows_of(15)
    once, twice = sums_of(rows), sums_of(rows.repeat(2, 1))
    torch.testing.assert_close(
        twice.moment() / twice.count, once.moment() / once.count, rtol=1e-12, atol=1e-14
    )


def test_a_mean_that_carries_98_percent_of_the_second_moment_costs_no_digits():
    """As the public scripts sum, products in float32 without a shift, the last eigenvalues are noise, one of
    them below zero; about a pilot mean they are right to a millionth of themselves.
    """
    generator, width = torch.Generator().manual_seed(0), 32
    spread = torch.arange(1, width + 1, dtype=torch.float64) ** -3.0
    rows = torch.randn(8192, width, generator=generator, dtype=torch.float64) * spread
    mean = torch.randn(width, generator=generator, dtype=torch.float64)
    rows = (rows + mean * 7 * rows.var(0).sum().sqrt() / mean.norm()).float()
    exact = torch.linalg.eigvalsh(torch.cov(rows.double().T))
    mu, n = rows.double().mean(0), len(rows)
    assert float(mu.square().sum() / (mu.square().sum() + exact.sum())) == pytest.approx(0.98, abs=1e-3)

    products = sum((batch.T @ batch).double() for batch in rows.split(1024))
    unshifted = torch.linalg.eigvalsh((products - n * torch.outer(mu, mu)) / (n - 1))
    assert unshifted[0] < 0

    sums = ShiftedSums(rows[:1024].double().mean(0))
    for batch in rows.split(1024):
        sums.add(batch.double(), torch.ones(len(batch), dtype=torch.bool))
    found = torch.linalg.eigvalsh(sums.moment() / (n - 1))
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)
