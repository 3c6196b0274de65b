import numpy as np
import pytest
import torch

from spectra_cli.core.measurements import GRADIENT_MATRIX, GRADIENTS
from spectra_cli.core.types import Site, SpectrumKind, Status
from spectra_cli.extract.measurements.gradient_gram import spectra_of_kernel
from spectra_cli.extract.measurements.measurement import Blocks

SITE = Site(layer=0, component="attn.o")
SHAPE = (8, 9)


def gradients_of(n, *, mean=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    columns = SHAPE[0] * SHAPE[1]
    scales = torch.arange(1, columns + 1, dtype=torch.float64) ** -0.7
    return mean + torch.randn(n, columns, generator=generator, dtype=torch.float64) * scales


def measured(gradients, num_blocks=4, shape=SHAPE):
    blocks = Blocks(num_sequences=len(gradients), num_blocks=num_blocks)
    return spectra_of_kernel(SITE, gradients @ gradients.T, shape, blocks)


def both(found):
    spectra = {s.measurement: s for s in found.spectra}
    return spectra[GRADIENTS], spectra[GRADIENT_MATRIX]


def scalars_of(found):
    return {s.name: s for s in found.scalars}


@pytest.mark.parametrize("n", [2, 20, 72, 100])
def test_svd_of_the_stack(n):
    gradients = gradients_of(n)
    centred, uncentred = both(measured(gradients))
    expected = torch.linalg.svdvals(gradients).numpy()
    np.testing.assert_allclose(uncentred.values, expected, rtol=0, atol=1e-6 * expected[0])
    scatter = torch.linalg.svdvals(gradients - gradients.mean(0)).numpy() ** 2 / (n - 1)
    np.testing.assert_allclose(centred.values, scatter, rtol=0, atol=1e-12 * scatter[0])
    assert (centred.kind, uncentred.kind) == (SpectrumKind.EIGENVALUES, SpectrumKind.SINGULAR_VALUES)
    assert (centred.centered, uncentred.centered) == (True, False)
    assert len(centred.values) == min(n, 72)
    assert centred.num_samples == n
    assert centred.ambient_dim == 72


def test_order_of_samples_changes_nothing():
    gradients = gradients_of(30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    for one, other in zip(both(measured(gradients)), both(measured(gradients[order])), strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-10 * one.values[0])


def test_identical_samples():
    """B11 (vi): rank one, and nothing about the mean."""
    centred, uncentred = both(measured(gradients_of(1).repeat(12, 1)))
    assert uncentred.num_zero == 11
    assert not centred.values.any()
    assert not centred.block_profile.any()


def test_zero_gradients():
    found = measured(torch.zeros(12, 72, dtype=torch.float64))
    for spectrum in both(found):
        assert not spectrum.values.any()
        assert spectrum.num_zero == 12
    assert scalars_of(found)["gradient_noise"].value == 0


def test_noise_sums_and_their_delete_one_block_values():
    gradients = gradients_of(22)
    found = scalars_of(measured(gradients))

    def direct(rows):
        n, mean = len(rows), rows.mean(0)
        noise = float((rows - mean).square().sum() / (n - 1))
        return float(mean @ mean) - noise / n, noise

    signal, noise = direct(gradients)
    assert found["gradient_signal"].value == pytest.approx(signal, rel=1e-10)
    assert found["gradient_noise"].value == pytest.approx(noise, rel=1e-10)
    edges = Blocks(num_sequences=22, num_blocks=4).edges
    for b in range(4):
        rest = torch.cat([gradients[: edges[b]], gradients[edges[b + 1] :]])
        signal, noise = direct(rest)
        assert found["gradient_signal"].delete_one_block[b] == pytest.approx(signal, rel=1e-9)
        assert found["gradient_noise"].delete_one_block[b] == pytest.approx(noise, rel=1e-9)


def test_noise_scale_of_least_squares():
    """B11 (v): g = x (x^T Delta - eps), B_simple = (|Delta|^2 (d + 1) + s^2 d) / |Delta|^2."""
    d, n, s = 16, 600, 1.5
    generator = torch.Generator().manual_seed(0)
    delta = torch.linspace(0.5, 1.5, d, dtype=torch.float64)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    eps = s * torch.randn(n, generator=generator, dtype=torch.float64)
    found = scalars_of(measured(x * (x @ delta - eps)[:, None], num_blocks=16, shape=(4, 4)))
    ratio = found["gradient_noise"].value / found["gradient_signal"].value
    without = found["gradient_noise"].delete_one_block / found["gradient_signal"].delete_one_block
    stderr = np.sqrt(15 / 16 * ((without - without.mean()) ** 2).sum())
    square = float(delta @ delta)
    expected = (square * (d + 1) + s**2 * d) / square
    assert abs(ratio - expected) < 3 * stderr < expected


@pytest.mark.parametrize(("n", "num_blocks"), [(20, 4), (23, 4), (50, 16), (90, 7)])
def test_profile_averages_to_the_eigenvalues(n, num_blocks):
    for spectrum in both(measured(gradients_of(n), num_blocks)):
        mean = np.average(spectrum.block_profile.astype(float), axis=0, weights=spectrum.block_sizes)
        expected = spectrum.eigenvalues()
        np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-12 * expected[0])


@pytest.mark.parametrize("n", [320, 330])
def test_profile_gives_the_delete_one_block_spectra_to_first_order(n):
    # Variances fall as j^-3: neighbours too close to each other mix at second order already.
    falling = torch.arange(1, 73, dtype=torch.float64) ** -0.8
    gradients, blocks = gradients_of(n, mean=0.0) * falling, Blocks(num_sequences=n, num_blocks=16)
    centred, uncentred = both(measured(gradients, 16))
    rests = [torch.cat([gradients[: blocks.edges[b]], gradients[blocks.edges[b + 1] :]]) for b in range(16)]
    exact = {
        True: [torch.linalg.svdvals(r - r.mean(0))[:5].numpy() ** 2 / (len(r) - 1) for r in rests],
        False: [torch.linalg.svdvals(r)[:5].numpy() ** 2 / len(r) for r in rests],
    }
    for spectrum in (centred, uncentred):
        sizes = np.array(spectrum.block_sizes, dtype=float)[:, None]
        values = spectrum.eigenvalues()[:5]
        profile = spectrum.block_profile[:, :5].astype(float)
        first_order = (n * values - sizes * profile) / (n - sizes)
        # eigenvalues of K are sums over the sequences: compared as means
        truth = np.stack(exact[spectrum.centered])
        first_order = first_order if spectrum.centered else first_order / n
        moved = np.abs(truth / truth.mean(0) - 1).max()
        assert np.abs(first_order / truth - 1).max() < 0.35 * moved
        ratio = np.log(first_order).std(0) / np.log(truth).std(0)
        assert 0.85 < np.median(ratio) < 1.2


def test_one_bad_sequence_of_two_hundred_is_as_if_it_had_not_been():
    gradients = gradients_of(200)
    spoiled = gradients.clone()
    spoiled[57, 3] = float("nan")
    found = measured(spoiled, 8)
    expected = measured(torch.cat([gradients[:57], gradients[58:]]), 8)
    for one, other in zip(both(found), both(expected), strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-10 * one.values[0])
        assert one.num_samples == 199
        assert sum(one.block_sizes) == 199
        mean = np.average(one.block_profile.astype(float), axis=0, weights=one.block_sizes)
        np.testing.assert_allclose(mean, one.eigenvalues(), rtol=1e-6, atol=1e-12 * mean[0])
    assert scalars_of(found)["dropped_sequences"].value == 1
    for name in ("gradient_signal", "gradient_noise"):
        assert scalars_of(found)[name].value == pytest.approx(scalars_of(expected)[name].value, rel=1e-9)


def test_more_than_one_per_cent_is_refused():
    gradients = gradients_of(199)
    gradients[[3, 90], 0] = float("inf")
    found = measured(gradients)
    assert found.spectra == ()
    assert {s.measurement for s in found.skipped} == {GRADIENTS, GRADIENT_MATRIX}
    assert all(s.status is Status.NONFINITE and "2 of 199" in s.reason for s in found.skipped)


def test_one_gradient_has_no_spectrum():
    found = measured(gradients_of(1))
    assert found.spectra == ()
    assert {s.status for s in found.skipped} == {Status.UNRESOLVED}
