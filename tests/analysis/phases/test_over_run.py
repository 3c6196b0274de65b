"""Phases of planted runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.archive.reader import Archive
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.workflows.phases import phases

STEPS = [int(s) for s in np.unique(np.geomspace(1, 10_000, 40).astype(int))]
PLACE = np.linspace(0, 1, len(STEPS))


def between(*points):
    return np.interp(PLACE, *zip(*points, strict=True))


THREE = between((0, 0.8), (0.2, 1.3), (0.65, 0.6), (1, 1.0))


@pytest.fixture
def run(tmp_path, monkeypatch, write_run):
    monkeypatch.chdir(tmp_path)

    def make(exponents=THREE, **changes):
        given = {"steps": STEPS, "exponents": exponents, "noise": 0.002, "width": 128}
        write_run(tmp_path / "run.spectra.h5", **{**given, **changes})
        return "run"

    return make


def test_three_planted_phases_with_their_boundaries(run):
    found = phases(run())
    assert [s.name for s in found.segments] == ["warmup", "entropy-seeking", "compression-seeking"]
    assert found.has_structure
    assert (found.unit, found.layer, found.alpha) == ("tokens", 1, "alpha_req_11_100")
    for segment, where in zip(found.segments, (0.2, 0.65), strict=False):
        assert abs(PLACE[segment.last] - where) < 2.5 / len(STEPS)
        assert segment.earliest <= segment.last <= segment.latest
    assert [p.alpha for p in found.points] == pytest.approx(THREE.tolist(), abs=1e-9)


def test_nothing_that_moves_is_no_structure(run):
    found = phases(run(1.0))
    assert [s.name for s in found.segments] == ["flat"]
    assert not found.has_structure


def test_rank_and_exponent_that_rise_together_are_discordant(run):
    found = phases(run(between((0, 0.8), (1, 1.0)), firsts=np.geomspace(200, 1, len(STEPS))))
    assert [s.name for s in found.segments] == ["discordant"]
    assert not found.has_structure


def test_a_monotone_fall_has_no_entropy_seeking(run):
    assert [s.name for s in phases(run(between((0, 0.6), (1, 1.2)))).segments] == ["compression-seeking"]


def test_an_early_fall_up_to_the_peak_of_the_learning_rate_is_warmup(run):
    late = between((0, 0.6), (0.85, 1.2), (1, 0.8))
    assert [s.name for s in phases(run(late)).segments] == ["compression-seeking", "entropy-seeking"]
    rates = np.interp(PLACE, [0, 0.9, 1], [0, 1e-3, 5e-4]).tolist()
    assert [s.name for s in phases(run(late, learning_rate=rates)).segments] == ["warmup", "entropy-seeking"]


def test_the_error_of_a_change_is_paired(run):
    """One seed for all checkpoints of equal shape: the same noise everywhere, which cancels in a change."""
    found = phases(run(noise=0.05))
    segment = found.segments[1]
    first, last = found.points[segment.first], found.points[segment.last]
    unpaired = np.hypot(first.alpha_stderr, last.alpha_stderr)
    assert 0 < segment.alpha_stderr < 3 * unpaired


def test_another_layer_and_exponent(run):
    found = phases(run(), layer=0, alpha="head_exponent_2_10")
    assert (found.layer, found.alpha) == (0, "head_exponent_2_10")


def test_a_narrow_model_falls_back_to_a_window_that_fits_and_says_so(run):
    found = phases(run(width=64))
    assert found.alpha == "tail_exponent_scaled"
    assert any(
        warning.endswith("alpha is the tail exponent, scaled by width (tail_exponent_scaled)")
        for warning in found.warnings
    )
    assert phases(run(width=32)).alpha == "head_exponent_2_10"


def test_the_conditions_of_the_method_are_checked(run):
    steps = [0, 2000, 4000, 6000, 8000, 10000]
    warned = " ".join(phases(run(1.0, steps=steps, num_sequences=100)).warnings)
    for words in ("6 checkpoints, at least 8", "100 probe sequences for 128", "first tenth", "rms/token"):
        assert words in warned
    fine = {"settings": {"normalize": "final", "pool": "last"}, "num_sequences": 512}
    assert phases(run(**fine)).warnings == ()


def test_the_first_tenth_is_of_training_not_of_what_was_scanned(run):
    steps = [2500, 2600, 2700, *range(3000, 10001, 1000)]
    (warned,) = (w for w in phases(run(1.0, steps=steps)).warnings if "first tenth" in w)
    assert warned.startswith("0 checkpoints in the first tenth of training, at least 3 are needed")
    assert warned.endswith("; the first one is 25 % of the way to the last")


def test_no_warmup_at_the_start_is_said(run):
    assert any("warm-up not observed" in w for w in phases(run(1.0)).warnings)


def test_what_has_no_phases_says_why(run):
    with pytest.raises(DataError, match=r"1 checkpoint with both"):
        phases(run(1.0, steps=[5]))
    with pytest.raises(DataError, match="do not fit a spectrum of 64"):
        phases(run(width=64), alpha="alpha_req_11_100")
    with pytest.raises(UsageError, match=r"--alpha alpha"):
        phases(run(), alpha="alpha")
    with pytest.raises(UsageError, match=r"--alpha rankme_cov: no decay exponent .*alpha_req_11_100"):
        phases(run(), alpha="rankme_cov")
    with pytest.raises(UsageError, match=r"no layer 9"):
        phases(run(), layer=9)


def test_without_tokens_it_is_over_steps(run):
    found = phases(run(tokens_a_step=None))
    assert found.unit == "steps"
    assert any("in steps" in warning for warning in found.warnings)


def test_changes_without_a_standard_error_are_said(run):
    found = phases(run(noise=0.0))
    assert not found.has_structure
    assert any("no standard error: changes cannot be judged" in warning for warning in found.warnings)


def test_without_activations_it_says_what_to_scan(run, monkeypatch):
    read = Archive.checkpoints

    def without_spectra(self, indices, **how):
        return (replace(one, spectra=()) for one in read(self, indices, **how))

    monkeypatch.setattr(Archive, "checkpoints", without_spectra)
    with pytest.raises(DataError, match="holds no activation spectra"):
        phases(run())


def test_a_plateau_that_creeps_in_its_last_digits_ends_the_warmup_where_it_begins(run):
    late = between((0, 0.6), (0.85, 1.2), (1, 0.8))
    rates = np.interp(PLACE, [0, 0.2, 1], [0, 1e-3, 1.0005e-3]).tolist()
    names = [s.name for s in phases(run(late, learning_rate=rates)).segments]
    assert names == ["compression-seeking", "entropy-seeking"]
