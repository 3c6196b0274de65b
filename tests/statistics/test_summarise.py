from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import Scalar, Site, Status
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate
from spectra_cli.statistics.summarise import summarise
from tests.builders.checkpoints import checkpoint


def scalar(name, value, *, site=None, deleted=(), status=Status.OK):
    return Scalar(
        name=name,
        site=site,
        measurement="gradient_covariance",
        value=value,
        unit="nats/token",
        status=status,
        delete_one_block=np.array(deleted),
        block_sizes=(4,) * len(deleted),
    )


@pytest.fixture
def checkpoint_of():
    def build(*spectra, scalars=()):
        return checkpoint(spectra, scalars, step=100)

    return build


def names_of(values):
    return [value.name for value in values]


def test_defaults_follow_the_registry_and_the_width(checkpoint_of, spectrum_of):
    wide, narrow = (spectrum_of(np.arange(1.0, d + 1) ** -1) for d in (640, 128))
    of_wide, of_narrow = (names_of(summarise(checkpoint_of(s))) for s in (wide, narrow))
    assert [name for name in STATISTICS if name in of_wide] == of_wide
    assert set(of_wide) - set(of_narrow) == {"tail_exponent_30_150"}
    assert "tail_exponent_50_200" not in of_wide
    assert "tail_exponent_scaled" in of_narrow


def test_values_are_those_of_the_statistic_alone(checkpoint_of, spectrum_of):
    weight = spectrum_of([4.0, 1.0], "weight")
    for value in summarise(checkpoint_of(weight)):
        alone = evaluate(STATISTICS[value.name], weight, step=100)
        # Reprs, since NaN is not equal to itself.
        assert repr(value) == repr(alone)


def test_names_choose(checkpoint_of, spectrum_of):
    checkpoint = checkpoint_of(spectrum_of(np.ones(128)), spectrum_of([2.0, 1.0], "weight"))
    found = summarise(checkpoint, ["stable_rank", "tail_exponent_50_200", "condition"])
    assert [(v.measurement, v.name) for v in found] == [
        ("activation_covariance", "tail_exponent_50_200"),
        ("activation_covariance", "stable_rank"),
        ("weight", "tail_exponent_50_200"),
        ("weight", "stable_rank"),
        ("weight", "condition"),
    ]
    assert found[0].status == "unresolved"


def test_an_unknown_name_is_told_with_the_nearest(checkpoint_of):
    with pytest.raises(UsageError, match=r"'rankme'.*did you mean rankme_"):
        summarise(checkpoint_of(), ["rankme"])


def test_scalars_pass_through_with_their_errors(checkpoint_of):
    loss = scalar("probe_loss", 2.0, deleted=(2.5, 2.0, 1.5))
    zero = scalar("mean_share", np.nan, status=Status.ZERO)
    found, empty = summarise(checkpoint_of(scalars=(loss, zero)))
    assert (found.name, found.value, found.unit, found.step) == ("probe_loss", 2.0, "nats/token", 100)
    assert found.stderr == pytest.approx(1 / np.sqrt(3), rel=1e-12)
    assert (empty.status, bool(empty.reason)) == ("zero", True)
    assert names_of(summarise(checkpoint_of(scalars=(loss, zero)), ["mean_share"])) == ["mean_share"]


def test_noise_scales_are_included(checkpoint_of):
    site = Site.parse("blocks.0.mlp.down")
    scalars = (scalar("gradient_signal", 2.0, site=site), scalar("gradient_noise", 6.0, site=site))
    found = summarise(checkpoint_of(scalars=scalars), ["gradient_noise_scale"])
    assert [(v.site, v.value) for v in found] == [(site, 3.0), (None, 3.0)]


def test_importing_needs_no_scipy_and_no_torch():
    code = (
        "import sys, spectra_cli.statistics.summarise; sys.exit(bool({'scipy', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
