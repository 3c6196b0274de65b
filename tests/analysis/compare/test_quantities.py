"""What is compared by default, under which name."""

import numpy as np

from spectra_cli.analysis.compare.quantities import (
    DISTANCES,
    is_distance,
    known_names,
    margin_of,
    plain_name,
    quantities,
    statistic_words,
    tail_window,
)
from spectra_cli.core.types import Site, Spectrum, SpectrumKind
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS


def spectrum(d, measurement="activation_covariance", n=100_000):
    return Spectrum(
        site=Site.parse("blocks.0.resid_post"),
        measurement=measurement,
        kind=SpectrumKind.EIGENVALUES,
        values=np.arange(1, d + 1) ** -1.0,
        num_samples=n,
        ambient_dim=d,
        centered=True,
        unit="1",
    )


def names(first, second, asked_for=None):
    return [q.name for q in quantities(first, second, asked_for)]


def test_one_tail_is_compared_by_default():
    assert "tail_exponent_30_150" in names(spectrum(768), spectrum(768))
    assert "tail_exponent_scaled" not in names(spectrum(768), spectrum(768))
    assert "tail_exponent_scaled" in names(spectrum(128), spectrum(128))


def test_sizes_are_compared_as_ratios_and_shares_as_they_are():
    found = names(spectrum(128), spectrum(128))
    assert "log_rankme_cov" in found
    assert "top10_share" in found


def test_other_widths_are_compared_at_relative_rank_under_another_name():
    found = names(spectrum(768), spectrum(1024))
    assert "tail_exponent_scaled_frac" in found
    assert "log_rankme_cov_frac" in found
    assert not any("30_150" in name for name in found)


def test_a_name_is_understood_in_all_its_forms():
    for asked in ("rankme_cov", "log_rankme_cov", "log_rankme_cov_frac"):
        assert names(spectrum(128), spectrum(128), [asked]) == ["log_rankme_cov"]
    assert plain_name("log_spectral_distance_tail_frac") == "log_spectral_distance_tail"


def test_everything_known_is_a_statistic_the_noise_scale_or_a_distance():
    assert set(known_names()) == {*STATISTICS, "gradient_noise_scale", *DISTANCES}
    assert [is_distance(n) for n in ("jensen_shannon_frac", "rankme_cov")] == [True, False]


def test_margins_are_those_of_the_docs():
    assert [margin_of(n) for n in ("head_exponent_1_10", "log_rankme_cov", "top10_share")] == [
        0.05,
        0.05,
        0.01,
    ]
    assert round(margin_of("log_gradient_noise_scale"), 4) == 0.2231


def test_no_two_numbers_share_their_words():
    names = [f"{log}{name}" for name in DEFINITIONS for log in ("", "log_")]
    words = [statistic_words(name) for name in (*names, *DISTANCES)]
    assert len(set(words)) == len(words)
    assert statistic_words("jensen_shannon_frac") == "JS frac"
    assert statistic_words("unheard_of") == "unheard_of"


def test_the_tail_of_a_gradient_goes_by_its_samples_and_has_to_fit():
    assert tail_window(spectrum(512, "gradient_covariance", 512)) == (31, 153)
    assert tail_window(spectrum(768)) == (30, 150)
    assert tail_window(spectrum(128)) == (11, 33)
    assert tail_window(spectrum(20)) is None
