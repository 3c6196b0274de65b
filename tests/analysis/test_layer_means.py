from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.layer_means import (
    choose_sites,
    common_measurement,
    last_third,
    layer_mean,
    mean_over_layers,
    tail_statistic,
)
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.core.types import Site, Spectrum, SpectrumKind, Status
from spectra_cli.statistics.jackknife import with_replicates
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate

RANK, TAIL = STATISTICS["rankme_cov"], STATISTICS["tail_exponent_scaled"]


def spectrum(layer, seed, sizes=(500, 500, 600, 600)):
    rng = np.random.default_rng(seed)
    profile = (np.arange(1.0, 65) ** -1.2) * (1 + 0.05 * rng.standard_normal((len(sizes), 64)))
    profile = np.sort(profile.astype(np.float32))[:, ::-1]
    return Spectrum(
        site=Site(layer=layer, component="resid_post"),
        measurement="activation_covariance",
        kind=SpectrumKind.EIGENVALUES,
        values=np.average(profile.astype(np.float64), axis=0, weights=sizes),
        num_samples=64_000,
        ambient_dim=64,
        centered=True,
        unit="",
        block_profile=profile,
        block_sizes=sizes,
    )


def test_one_layer_is_the_statistic_itself():
    one = spectrum(3, 0)
    found, theirs = layer_mean([one], RANK), evaluate(RANK, one, step=0)
    assert found.layers == (3,)
    assert (found.estimated.value, found.estimated.stderr) == (theirs.value, theirs.stderr)


def test_the_mean_of_a_layer_with_itself_keeps_its_error():
    """Errors of the same probe do not average away: with root-2 they would be too small."""
    one = spectrum(0, 1)
    twice = [one, replace(one, site=Site(layer=1, component="resid_post"))]
    alone, both = layer_mean([one], RANK).estimated, layer_mean(twice, RANK).estimated
    assert both.stderr == pytest.approx(alone.stderr, rel=1e-12)


def test_the_rows_are_those_of_the_mean():
    pair = [spectrum(0, 2), spectrum(1, 3)]
    rows = np.mean([np.exp(_entropy(with_replicates(s))) for s in pair], axis=0)
    assert layer_mean(pair, RANK).estimated.per_row == pytest.approx(rows, rel=1e-12)


def _entropy(rows):
    p = rows / rows.sum(1, keepdims=True)
    return -(p * np.log(p)).sum(1)


def test_a_layer_without_a_value_leaves_no_mean():
    cut = replace(spectrum(1, 4), values=np.ones(20), block_profile=None, block_sizes=())
    found = layer_mean([spectrum(0, 5), cut], TAIL)
    assert found.estimated is None
    assert found.status is Status.UNRESOLVED
    assert found.reason.startswith("layer 1: ")


def test_other_blocks_leave_a_mean_without_an_error():
    found = layer_mean([spectrum(0, 6), spectrum(1, 7, sizes=(1100, 1100))], RANK).estimated
    assert np.isfinite(found.value)
    assert np.isnan(found.stderr)


def test_a_partial_layer_is_said():
    few = replace(spectrum(2, 8), num_samples=64 * 10)
    found = layer_mean([spectrum(0, 9), few], TAIL)
    assert found.status is Status.PARTIAL
    assert found.reason.startswith("layer 2: ")


@pytest.mark.parametrize(("layers", "last"), [([5], (5,)), ([0, 3, 6, 8, 11], (11,)), (range(6), (4, 5))])
def test_the_last_third(layers, last):
    assert last_third(layers) == last


@pytest.fixture
def planted(tmp_path, write_run):
    def make(**values):
        return open_archive(write_run(tmp_path / "a.spectra.h5", steps=[1], **values)).checkpoint(0)

    return make


@pytest.mark.parametrize(
    ("widths", "name"),
    [
        ([768, 768], "tail_exponent_30_150"),
        ([768, 1024], "tail_exponent_scaled"),
        ([64], "tail_exponent_scaled"),
    ],
)
def test_the_default_window_is_one_that_all_widths_share(widths, name):
    assert tail_statistic(None, widths).name == tail_statistic("tail_exponent", widths).name == name
    assert tail_statistic("stable_rank", widths).name == "stable_rank"


def test_a_statistic_that_is_not_there_names_those_that_are():
    with pytest.raises(UsageError, match=r"'alpha'.*rankme_cov"):
        tail_statistic("alpha", [64])


def test_layers_by_word_and_by_number(planted):
    checkpoint, statistic = planted(num_layers=6), tail_statistic("rankme_cov", [64])

    def layers(which):
        chosen = choose_sites([checkpoint], statistic, which)
        assert mean_over_layers(checkpoint, statistic, chosen).layers == chosen.layers
        return chosen.layers

    assert [layers(w) for w in ("last", "last-third", "all", (0, 3))] == [
        (5,),
        (4, 5),
        tuple(range(6)),
        (0, 3),
    ]
    with pytest.raises(UsageError, match=r"no layer 9 .*holds 0, 1, 2, 3, 4, 5"):
        layers((2, 9))


def test_spectra_that_the_statistic_has_no_meaning_for(planted):
    with pytest.raises(DataError, match=r"frobenius_norm needs spectra of weight.*activation_covariance"):
        choose_sites([planted()], tail_statistic("frobenius_norm", [64]), "last")


def test_a_layer_that_a_checkpoint_lacks_is_missing_not_replaced(planted):
    whole = planted(num_layers=3)
    part = replace(whole, spectra=tuple(s for s in whole.spectra if s.site.layer != 2))
    statistic = tail_statistic("rankme_cov", [64])
    chosen = choose_sites([part, whole], statistic, "last")
    assert chosen.layers == (2,)
    found = mean_over_layers(part, statistic, chosen)
    assert found.estimated is None
    assert "holds no activation_covariance of blocks.2.resid_post" in found.reason
    assert mean_over_layers(whole, statistic, chosen).estimated is not None
    none = mean_over_layers(replace(whole, spectra=()), statistic, chosen)
    assert none.estimated is None
    assert common_measurement([replace(whole, spectra=()), whole], statistic) == "activation_covariance"
