"""The contract of every statistic; a new line in the registry is tested by itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra_cli.core.types import SpectrumKind
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import evaluate

WITHOUT_JACKKNIFE = {"n_eff_over_d", "num_outliers", "mp_softrank", "density_exponent"}
RANK_DECAY = tuple(
    name for name in STATISTICS if name.startswith(("head_exponent", "tail_exponent", "alpha_req"))
)
IN_UNITS_OF_THE_VALUES = {"frobenius_norm", "spectral_norm"}
CASES = [(name, m) for name, statistic in STATISTICS.items() for m in statistic.measurements]
every_case = pytest.mark.parametrize(("name", "measurement"), CASES)


@pytest.fixture(scope="session")
def typical(spectrum_of):
    """A spectrum of 640 values on which every statistic has a value and an error."""

    def build(measurement, seed=0):
        rng = np.random.default_rng(seed)
        eigenvalues = np.arange(1.0, 641) ** -1.1 * np.exp(0.05 * rng.standard_normal(640))
        profile = np.abs(eigenvalues * (1 + 0.02 * rng.standard_normal((8, 640))))
        sizes = (30, 30, 30, 30, 20, 20, 10, 10)
        order = np.argsort(np.average(profile, axis=0, weights=sizes))[::-1]
        profile = profile[:, order].astype(np.float32)
        whole = np.average(profile.astype(np.float64), axis=0, weights=sizes)
        return spectrum_of(
            np.sort(whole)[::-1],
            measurement,
            block_profile=profile,
            block_sizes=sizes,
            **({"num_samples": 640 * 100} if measurement == "activation_covariance" else {}),
        )

    return build


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_statistic_says_what_it_is(name):
    definition = DEFINITIONS[name]
    assert definition.name == name
    assert definition.title
    assert definition.short
    assert definition.summary.endswith(".")
    assert definition.source


@every_case
def test_a_typical_spectrum_has_a_value_and_an_error(name, measurement, typical):
    found = evaluate(STATISTICS[name], typical(measurement), step=5)
    assert found.status.has_value, found.reason
    assert (found.name, found.measurement, found.step) == (name, measurement, 5)
    assert np.isfinite(found.stderr) == (name not in WITHOUT_JACKKNIFE)


@every_case
@settings(max_examples=5)
@given(log10_scale=st.floats(-8, 8))
def test_only_norms_depend_on_the_scale(name, measurement, log10_scale, typical):
    spectrum, scale = typical(measurement), 10**log10_scale
    on_values = scale**0.5 if spectrum.kind is SpectrumKind.SINGULAR_VALUES else scale
    scaled = dataclasses.replace(
        spectrum,
        values=spectrum.values * on_values,
        block_profile=spectrum.block_profile.astype(np.float64) * scale,
    )
    before, after = (evaluate(STATISTICS[name], s, step=0) for s in (spectrum, scaled))
    factor = scale**0.5 if name in IN_UNITS_OF_THE_VALUES else 1.0
    assert after.status == before.status
    # The value rounds in float64; the error sees the profile's float32, 6e-8 of each of 8 blocks whose
    # scatter of 2 % it measures, and n_eff is the error's square.
    tolerance = 1e-4 if name == "n_eff_over_d" else 1e-9
    assert after.value == pytest.approx(before.value * factor, rel=tolerance)
    assert after.stderr == pytest.approx(before.stderr * factor, rel=1e-4, nan_ok=True)


@every_case
@settings(max_examples=5)
@given(order=st.permutations(range(8)))
def test_the_order_of_blocks_does_not_matter(name, measurement, order, typical):
    spectrum = typical(measurement)
    dealt = dataclasses.replace(
        spectrum,
        block_profile=spectrum.block_profile[list(order)],
        block_sizes=tuple(spectrum.block_sizes[b] for b in order),
    )
    before, after = (evaluate(STATISTICS[name], s, step=0) for s in (spectrum, dealt))
    # Only sums over blocks are rounded in another order.
    assert after.value == pytest.approx(before.value, rel=1e-10)
    assert after.stderr == pytest.approx(before.stderr, rel=1e-8, nan_ok=True)


@every_case
def test_a_zero_spectrum_has_status_zero(name, measurement, spectrum_of):
    found = evaluate(STATISTICS[name], spectrum_of(np.zeros(640), measurement), step=0)
    assert (found.status, bool(found.reason)) == ("zero", True)


@every_case
def test_one_direction_has_ranks_but_no_exponent(name, measurement, spectrum_of):
    single = spectrum_of(np.where(np.arange(640) == 0, 3.0, 0.0), measurement)
    found = evaluate(STATISTICS[name], single, step=0)
    if name in (*RANK_DECAY, *WITHOUT_JACKKNIFE):
        assert found.status == "unresolved"
    elif name in IN_UNITS_OF_THE_VALUES:
        assert found.value == pytest.approx(np.sqrt(3.0), rel=1e-12)
    else:
        assert found.value == (0.0 if name == "spectral_entropy_normalized" else 1.0)


@every_case
@pytest.mark.parametrize("rank", [1, 2, 9])
def test_a_tiny_spectrum_never_breaks(name, measurement, rank, spectrum_of):
    found = evaluate(STATISTICS[name], spectrum_of(np.arange(rank, 0, -1.0), measurement), step=0)
    assert found.status.has_value or found.reason
    if name in (*RANK_DECAY, *WITHOUT_JACKKNIFE):
        assert found.status == "unresolved"


@every_case
def test_exponents_name_their_window(name, measurement, typical, spectrum_of):
    if name not in RANK_DECAY:
        return
    for spectrum in (typical(measurement), spectrum_of(np.ones(12), measurement)):
        details = evaluate(STATISTICS[name], spectrum, step=0).details
        assert 1 <= details["window_lo"] < details["window_hi"] or spectrum.values.size == 12
