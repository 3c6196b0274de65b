import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.gradient_store import (
    DenseGradients,
    FactoredGradients,
    dense_bytes,
    factor_bytes,
)

N, T, O, I = 9, 5, 6, 4
CPU = torch.device("cpu")


def factors(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(N, T, I, generator=generator, dtype=dtype),
        torch.randn(N, T, O, generator=generator, dtype=dtype),
    )


def make(kind, dtype=torch.float64, length=T):
    if kind == "dense":
        return DenseGradients(N, (O, I), dtype=dtype, arena=Arena(CPU))
    return FactoredGradients(N, length, (O, I), dtype=dtype, arena=Arena(CPU))


def stacked(inputs, delta):
    """G, one outer product a token."""
    return torch.stack(
        [
            sum(torch.outer(d, a) for a, d in zip(x, y, strict=True))
            for x, y in zip(inputs, delta, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("chunk_bytes", "tile_bytes"), [(1, 1), (8 * N * 7, 8 * N * 5), (8 * N * 7, 8 * N * 17), (2**20, 2**20)]
)
@pytest.mark.parametrize("batches", [[1] * N, [4, 4, 1], [N]])
@pytest.mark.parametrize("kind", ["dense", "factored"])
def test_gram_is_that_of_the_stacked_gradients(kind, batches, chunk_bytes, tile_bytes, monkeypatch):
    monkeypatch.setattr("spectra_cli.extract.measurements.gradient_store.GRAM_CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr("spectra_cli.extract.measurements.gradient_store.TILE_BYTES", tile_bytes)
    inputs, delta = factors()
    store, start = make(kind), 0
    for size in batches:
        store.add(start, inputs[start : start + size], delta[start : start + size])
        start += size
    flat = stacked(inputs, delta).flatten(1)
    torch.testing.assert_close(store.gram(), flat @ flat.T, rtol=1e-12, atol=1e-12)
    # B11 (ii): singular values from K against those of G
    expected = torch.linalg.svdvals(flat)
    found = torch.linalg.eigvalsh(store.gram()).flip(0).clamp(min=0).sqrt()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected[0]))


@pytest.mark.parametrize("kind", ["dense", "factored"])
def test_linear_layer_with_squared_loss(kind):
    """B11 (i): one token, g_i = r_i x_i^T, so K = (R R^T) o (X X^T)."""
    inputs, delta = (part[:, :1] for part in factors())
    store = make(kind, length=1)
    store.add(0, inputs, delta)
    x, r = inputs[:, 0], delta[:, 0]
    torch.testing.assert_close(store.gram(), (r @ r.T) * (x @ x.T), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["dense", "factored"])
def test_a_module_that_runs_in_parts_adds_them(kind):
    inputs, delta = factors()
    store = make(kind)
    for part in (slice(0, 2), slice(2, 5)):
        store.add(0, inputs[:, part], delta[:, part])
    whole = make(kind)
    whole.add(0, inputs, delta)
    torch.testing.assert_close(store.gram(), whole.gram(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", ["dense", "factored"])
def test_rows_of_some_tokens_are_the_whole_with_zeros_elsewhere(kind, half):
    inputs, delta = factors()
    seen = torch.rand(N, T, generator=torch.Generator().manual_seed(2)) < 0.4
    seen[3], seen[4] = False, True
    if half:
        dtype = torch.float32 if kind == "dense" else torch.bfloat16
        inputs, delta = inputs.bfloat16().double(), delta.bfloat16().double()
    else:
        dtype = torch.float64
    store = make(kind, dtype)
    if half and kind == "dense":
        store = DenseGradients(N, (O, I), dtype=dtype, arena=Arena(CPU), half_products=True)
    counts = seen.sum(1).tolist()
    for start, stop in ((0, 4), (4, 5), (5, N)):
        part = seen[start:stop]
        store.add(start, inputs[start:stop][part], delta[start:stop][part], counts[start:stop])
    flat = stacked(inputs, delta * seen[..., None]).flatten(1)
    expected, found = flat @ flat.T, store.gram()
    # entries rounded once to bfloat16: half a unit is 2^-9
    tolerance = 2 * 2**-9 if half else 1e-12
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    assert not found[3].any()
    assert not found[:, 3].any()


def test_rows_that_come_in_parts_add_up():
    inputs, delta = factors()
    for kind in ("dense", "factored"):
        store, whole = make(kind), make(kind)
        for part in (slice(0, 2), slice(2, T)):
            own = inputs[0, part], delta[0, part]
            store.add(0, *own, [len(own[0])])
        whole.add(0, inputs[0], delta[0], [T])
        torch.testing.assert_close(store.gram(), whole.gram(), rtol=1e-12, atol=1e-12)


def test_a_matrix_called_twice_does_not_fit_in_factors_and_says_so():
    inputs, delta = factors()
    store = make("factored")
    store.add(0, inputs, delta)
    with pytest.raises(ModelError, match=r"\(6, 4\) is used more than once.*--matrices"):
        store.add(0, inputs, delta)


def test_embedding_gradients_are_scattered_into_the_rows_of_the_ids():
    ids = torch.tensor([[0, 2, 2], [1, 0, 5]])
    delta = torch.randn(2, 3, I, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    store = DenseGradients(2, (O, I), dtype=torch.float64, arena=Arena(CPU))
    store.add(0, ids, delta)
    one_hot = torch.nn.functional.one_hot(ids, O).double()
    torch.testing.assert_close(store.rows(), stacked(delta, one_hot))
    store.add(0, ids, delta)
    torch.testing.assert_close(store.rows(), 2 * stacked(delta, one_hot))


def test_float32_gradients_float64_gram():
    inputs, delta = factors(torch.float32)
    store = make("dense", torch.float32)
    store.add(0, inputs, delta)
    gram = store.gram()
    assert gram.dtype == torch.float64
    flat = store.rows().double().flatten(1)
    torch.testing.assert_close(gram, flat @ flat.T, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", ["dense", "factored"])
def test_a_non_finite_sequence_stays_in_its_row(kind):
    inputs, delta = factors()
    delta[3, 1, 2] = float("nan")
    store = make(kind)
    store.add(0, inputs, delta)
    bad = store.gram().isnan()
    assert bad[3].all()
    assert int(bad.sum()) == 2 * N - 1


def test_estimated_bytes_are_those_taken():
    assert dense_bytes(N, (O, I), width=4) == N * O * I * 4
    assert factor_bytes(N, T, (O, I), width=2) == N * T * (O + I) * 2


@pytest.mark.parametrize("kind", ["dense", "factored"])
def test_half_products_round_each_gradient_once(kind):
    """Entries are those of exact products of the rounded factors, to a bfloat16's half unit (2^-9)."""
    inputs, delta = (f.bfloat16() for f in factors())
    if kind == "dense":
        store = DenseGradients(N, (O, I), dtype=torch.float32, arena=Arena(CPU), half_products=True)
    else:
        store = FactoredGradients(N, T, (O, I), dtype=torch.bfloat16, arena=Arena(CPU))
    store.add(0, inputs.float(), delta)
    exact = stacked(inputs.double(), delta.double()).flatten(1)
    expected = exact @ exact.T
    size = expected.diagonal().sqrt()
    error = (store.gram() - expected).abs() / torch.outer(size, size)
    assert 0 < float(error.max()) < 2 * 2**-9 + 1e-6
