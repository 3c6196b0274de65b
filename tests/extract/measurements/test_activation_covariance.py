import numpy as np
import pytest
import torch

from spectra_cli.core.types import Site, SpectrumKind, Status
from spectra_cli.extract.measurements.activation_covariance import ActivationCovariance, normalise_rms
from spectra_cli.extract.measurements.measurement import Batch, Blocks

D, T = 8, 6
SITE = Site(layer=0, component="resid_post")


def hidden_of(num, *, seed=0, correlation=0.0, width=D):
    """Sequences of tokens whose variances fall as 1/j; neighbours correlated as asked."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(num, T, width, generator=generator, dtype=torch.float64)
    for t in range(1, T):
        rows[:, t] = correlation * rows[:, t - 1] + (1 - correlation**2) ** 0.5 * rows[:, t]
    return 1.0 + rows * torch.arange(1, width + 1, dtype=torch.float64) ** -0.5


def measured(
    hidden, *, batches=None, num_blocks=4, normalize="none", pool="token", final_norm=None, num_vectors=0
):
    num = len(hidden)
    observer = ActivationCovariance(
        sites={0: SITE},
        blocks=Blocks(num_sequences=num, num_blocks=num_blocks),
        normalize=normalize,
        pool=pool,
        final_norm=final_norm,
        num_vectors=num_vectors,
        width=hidden.shape[-1],
        device=hidden.device,
    )
    start = 0
    for size in batches or [num]:
        part = hidden[start : start + size]
        batch = Batch(start=start, stop=start + len(part), length=T, tokens=torch.empty(0))
        observer.observe(0, part, batch)
        start += size
    return observer.finish()


def spectrum_of(*args, **kwargs):
    (spectrum,) = measured(*args, **kwargs).spectra
    return spectrum


def scalars_of(found):
    return {s.name: s for s in found.scalars}


@pytest.mark.parametrize("batches", [[1] * 13, [3, 3, 3, 3, 1], [7, 6], [13]])
@pytest.mark.parametrize("num_blocks", [2, 5, 13, 40])
@pytest.mark.parametrize("sequences_at_once", [1, 2, 100])
def test_two_pass_covariance_whatever_the_batches_blocks_and_pieces(
    batches, num_blocks, sequences_at_once, two_pass, monkeypatch
):
    module = "spectra_cli.extract.measurements.activation_covariance"
    monkeypatch.setattr(f"{module}._PIECE_BYTES", sequences_at_once * 8 * T * D)
    hidden = hidden_of(13)
    found = spectrum_of(hidden, batches=batches, num_blocks=num_blocks)
    expected = two_pass(hidden.flatten(0, 1)).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=1e-10)  # A11 (i)
    assert (found.num_samples, found.ambient_dim, found.centered) == (13 * T, D, True)
    assert found.kind is SpectrumKind.EIGENVALUES
    assert sum(found.block_sizes) == 13 * T
    assert len(found.block_sizes) == min(num_blocks, 13)


def test_unit_mean_square_fixes_the_trace():
    """A11 (ii): after rms, tr C (n - 1) / n + |mu|^2 = D, up to the 1e-6 beside the mean square."""
    hidden = 1e4 * hidden_of(30)
    found = measured(hidden, normalize="rms")
    (spectrum,) = found.spectra
    n, trace = spectrum.num_samples, spectrum.values.sum()
    mean = normalise_rms(hidden).flatten(0, 1).mean(0)
    assert trace * (n - 1) / n + float(mean @ mean) == pytest.approx(D, rel=1e-10)
    share = float(mean @ mean) / (float(mean @ mean) + trace)
    assert scalars_of(found)["mean_share"].value == pytest.approx(share, rel=1e-10)


def test_epsilon_of_the_norm():
    row = torch.full((1, 4), 1e-3, dtype=torch.float64)
    torch.testing.assert_close(normalise_rms(row), row / (2e-6) ** 0.5)
    assert normalise_rms(row.bfloat16()).dtype == torch.float32


def test_shift_rotation_and_duplicates():
    """A11 (iv) to (vi)."""
    hidden = hidden_of(40)
    values = spectrum_of(hidden).values
    tolerance = 1e-10 * values[0]
    offset = torch.arange(D, dtype=torch.float64) * 10
    np.testing.assert_allclose(spectrum_of(hidden + offset).values, values, rtol=0, atol=tolerance)
    basis = torch.linalg.qr(torch.randn(D, D, dtype=torch.float64)).Q
    np.testing.assert_allclose(spectrum_of(hidden @ basis).values, values, rtol=0, atol=tolerance)
    n = 40 * T
    twice = spectrum_of(hidden.repeat(2, 1, 1)).values * (2 * n - 1) / (2 * n)
    np.testing.assert_allclose(twice, values * (n - 1) / n, rtol=0, atol=tolerance)


def test_a_mean_of_300_costs_no_digits(two_pass):
    """A9."""
    hidden = hidden_of(60)
    hidden[:, :, 3] += 300
    found = spectrum_of(hidden.float(), batches=[8] * 8)
    expected = two_pass(hidden.float().double().flatten(0, 1)).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=1e-10)


def test_constant_rows_have_no_variance():
    found = measured(torch.ones(6, T, D))
    assert not found.spectra[0].values.any()
    assert scalars_of(found)["mean_share"].value == 1.0


def test_first_token_trace_share():
    hidden = hidden_of(20)
    hidden[:, 0] *= 5
    rows = hidden.flatten(0, 1)
    squares = (hidden - rows.mean(0)).square().sum(-1)
    share = scalars_of(measured(hidden, batches=[6] * 4))["first_token_trace_share"]
    assert share.value == pytest.approx(float(squares[:, 0].sum() / squares.sum()), rel=1e-10)
    for b, without in enumerate(share.delete_one_block):
        rest = torch.cat([hidden[: 5 * b], hidden[5 * b + 5 :]])
        squares = (rest - rest.flatten(0, 1).mean(0)).square().sum(-1)
        assert without == pytest.approx(float(squares[:, 0].sum() / squares.sum()), rel=1e-10)


# --------------------------------------------------------------------------------- block profile (D6b)


@pytest.mark.parametrize(("num", "num_blocks"), [(16, 4), (19, 4), (50, 16)])
def test_profile_averages_to_the_eigenvalues(num, num_blocks):
    found = spectrum_of(hidden_of(num), num_blocks=num_blocks, batches=[3] * 17)
    mean = np.average(found.block_profile.astype(float), axis=0, weights=found.block_sizes)
    np.testing.assert_allclose(mean, found.values, rtol=1e-6)  # stored in float32


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize("num", [160, 165])
def test_profile_gives_the_delete_one_block_spectra_to_first_order(num, correlation, two_pass):
    blocks = Blocks(num_sequences=num, num_blocks=16)
    hidden = hidden_of(num, correlation=correlation)
    found = spectrum_of(hidden, num_blocks=16)
    sizes = np.array(found.block_sizes, dtype=float)[:, None]
    profile = found.block_profile.astype(float)
    first_order = (sizes.sum() * found.values - sizes * profile) / (sizes.sum() - sizes)
    exact = np.stack(
        [
            two_pass(torch.cat([hidden[: blocks.edges[b]], hidden[blocks.edges[b + 1] :]]).flatten(0, 1))
            for b in range(16)
        ]
    )
    # A block moves a value by a few per cent; what the profile leaves out is of second order.
    moved = np.abs(exact / found.values - 1).max()
    assert moved > 0.01
    assert np.abs(first_order / exact - 1).max() < 0.35 * moved
    # the jackknife standard error of each log eigenvalue, then (D6b: ratios 1.00 to 1.14)
    ratio = np.log(first_order).std(0) / np.log(exact).std(0)
    assert 0.9 < np.median(ratio) < 1.15


# ------------------------------------------------------------------------------- non-finite sequences


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("position", [0, 57, 199])
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_one_bad_sequence_of_two_hundred_is_as_if_it_had_not_been(bad, position, pool):
    hidden = hidden_of(200)
    spoiled = hidden.clone()
    spoiled[position, 2, 1] = bad
    found = measured(spoiled, batches=[7] * 29, num_blocks=8, pool=pool)
    rest = torch.cat([hidden[:position], hidden[position + 1 :]])
    expected = measured(rest, num_blocks=8, pool=pool)
    (one,), (other,) = found.spectra, expected.spectra
    np.testing.assert_allclose(one.values, other.values, rtol=1e-10)
    assert one.num_samples == other.num_samples
    mean = np.average(one.block_profile.astype(float), axis=0, weights=one.block_sizes)
    np.testing.assert_allclose(mean, one.values, rtol=1e-6)
    assert scalars_of(found)["dropped_sequences"].value == 1
    for name in {"mean_share", "first_token_trace_share"} & scalars_of(found).keys():
        assert scalars_of(found)[name].value == pytest.approx(scalars_of(expected)[name].value, rel=1e-9)


def test_more_than_one_per_cent_is_refused():
    hidden = hidden_of(199)
    hidden[[3, 90], 0, 0] = float("nan")
    found = measured(hidden)
    (skipped,) = found.skipped
    assert found.spectra == ()
    assert skipped.status is Status.NONFINITE
    assert "2 of 199 sequences" in skipped.reason
    assert scalars_of(found)["dropped_sequences"].value == 2


def test_drops_in_every_block_are_all_counted():
    hidden = hidden_of(200)
    hidden[[10, 150], 0, 0] = float("nan")
    found = measured(hidden, num_blocks=2)
    assert scalars_of(found)["dropped_sequences"].value == 2
    assert found.spectra[0].block_sizes == (99 * T, 99 * T)


def test_nothing_finite():
    (skipped,) = measured(torch.full((4, T, D), float("nan"))).skipped
    assert skipped.status is Status.NONFINITE
    assert "4 of 4" in skipped.reason


def test_sequences_beyond_the_covariance_probe_are_left_out(two_pass):
    hidden = hidden_of(12)
    observer = ActivationCovariance(
        sites={0: SITE},
        blocks=Blocks(num_sequences=8, num_blocks=2),
        normalize="none",
        pool="token",
        final_norm=None,
        width=hidden.shape[-1],
        device=hidden.device,
    )
    for start in (0, 5, 10):
        part = hidden[start : start + 5]
        batch = Batch(start=start, stop=start + len(part), length=T, tokens=torch.empty(0))
        observer.observe(0, part, batch)
    (found,) = observer.finish().spectra
    expected = two_pass(hidden[:8].flatten(0, 1)).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=1e-10)


def test_leading_eigenvectors_are_kept_where_asked_for():
    hidden = hidden_of(40)
    found = spectrum_of(hidden, num_vectors=3)
    rows = hidden.flatten(0, 1)
    expected = np.linalg.eigh(torch.cov(rows.T).numpy())[1][:, ::-1].T[:3]
    assert found.vectors.left is None
    # rounded to float32
    np.testing.assert_allclose(np.abs(found.vectors.right), np.abs(expected), atol=1e-6)
    assert spectrum_of(hidden).vectors is None
    assert spectrum_of(hidden, num_vectors=99).vectors.num_vectors == D
