"""The table row by row, and the oracles on spectra with planted changes and known noise."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.analysis.compare.decisions import Verdict
from spectra_cli.analysis.compare.differences import decided, differences_at
from spectra_cli.analysis.taxonomy.evidence import Flag
from spectra_cli.analysis.taxonomy.labels import Confidence, Label, classify
from spectra_cli.analysis.taxonomy.token_gain import Performance
from spectra_cli.core.types import Scalar, Site
from tests.builders import spectra as builders
from tests.builders.checkpoints import checkpoint

B, WIDTH, SAMPLES = 16, 64, 128
SIZES = {"activation_covariance": (64 * 512,) * B, "gradient_covariance": (SAMPLES // B,) * B}
SEQUENCES = {"activation_covariance": 1024, "gradient_covariance": SAMPLES}
RANKS = np.arange(1, WIDTH + 1)
ACTIVATION = 1.0 / RANKS
GRADIENT = np.arange(1, SAMPLES) ** -1.5
TILT = np.where(RANKS <= 10, RANKS**-0.2, 1.0)
SAME_TOKENS = Performance(token_gain=0.0)


def spectrum(measurement, site, eigenvalues, factors_BR):
    """Eigenvalues with the blocks' own factors (mean about 1) on them, in descending order again."""
    profile = eigenvalues * factors_BR
    order = np.argsort(-profile.mean(0), kind="stable")
    return builders.spectrum(
        profile.mean(0)[order],
        measurement,
        site.address,
        num_samples=sum(SIZES[measurement]),
        block_profile=profile[:, order],
        block_sizes=SIZES[measurement],
    )


def run(
    probe, *, activation=ACTIVATION, gradient=GRADIENT, signal=1e-3, noise=0.01, num_layers=4, gradients=True
):
    """A run at a checkpoint that a probe (a seed) measured, with relative noise in each block."""
    generator = np.random.default_rng(probe)
    spectra, scalars = [], []
    for layer in range(num_layers):
        factors = 1 + noise * generator.normal(size=(B, WIDTH))
        spectra.append(
            spectrum("activation_covariance", Site(layer=layer, component="resid_post"), activation, factors)
        )
        for component in ("attn.o", "mlp.down") if gradients else ():
            site = Site(layer=layer, component=component)
            factors = 1 + noise * generator.normal(size=(B, SAMPLES - 1))
            spectra.append(spectrum("gradient_covariance", site, gradient, factors))
            signals = signal * (1 + noise * generator.normal(size=B))
            noises = gradient.sum() * (1 + noise * generator.normal(size=B))
            for name, blocks in (("gradient_signal", signals), ("gradient_noise", noises)):
                scalars.append(
                    Scalar(
                        name=name,
                        site=site,
                        measurement="gradient_covariance",
                        value=blocks.mean(),
                        unit="1",
                        delete_one_block=(blocks.sum() - blocks) / (B - 1),
                        block_sizes=SIZES["gradient_covariance"],
                    )
                )
    made = checkpoint(spectra, scalars)
    return Point(before=made, after=made, bracket=Bracket(before=0, after=0, share=0.0, gap=0.0))


def compared(first, second, *, paired=True):
    return decided(differences_at(first, second, target=3.0, paired=paired))


def classified(first, second, *, paired=True, performance=SAME_TOKENS, **options):
    differences = compared(first, second, paired=paired)
    return classify(differences, 3.0, num_sequences=SEQUENCES, performance=performance, **options)


def test_the_same_model_on_another_probe_never_moves():
    for probe in range(30):
        found = classified(run(2 * probe), run(2 * probe + 1), paired=False)
        assert Flag.MOVED not in (found.head.flag, found.gradients.flag, found.tail.flag)


def test_the_same_model_on_a_large_probe_is_execution_side():
    found = classified(run(0), run(1), paired=False)
    assert (found.head.flag, found.gradients.flag) == (Flag.EQUAL, Flag.EQUAL)
    assert found.label is Label.EXECUTION_SIDE
    assert found.possible == (Label.EXECUTION_SIDE,)


def test_a_scale_changes_no_head():
    found = classified(run(0), run(0, activation=7.0 * ACTIVATION))
    assert found.head.flag is Flag.EQUAL
    assert found.label is Label.EXECUTION_SIDE


def test_a_steeper_head_moves_it():
    found = classified(run(0), run(0, activation=ACTIVATION * TILT))
    assert found.head.flag is Flag.MOVED
    assert found.label is Label.REPRESENTATION
    exponents = found.head.statistics[:2]
    assert [len(counted.risen) for counted in exponents] == [4, 4]


NOISIER = {"gradient": GRADIENT + 0.02}


def test_noise_in_the_gradients_alone_is_optimisation_side():
    found = classified(run(0), run(0, **NOISIER))
    assert (found.head.flag, found.gradients.flag) == (Flag.EQUAL, Flag.MOVED)
    assert found.label is Label.OPTIMISATION_SIDE


@pytest.mark.parametrize(
    ("performance", "expected"),
    [
        (Performance(token_gain=0.1), Label.LEARNING_SIDE),
        (Performance(token_gain=0.0), Label.LEARNING_DYNAMICS),
        (Performance(token_gain=-0.1), Label.LEARNING_DYNAMICS),
        (Performance(), Label.LEARNING_DYNAMICS),
        (Performance(throughput_gain=0.5), Label.LEARNING_DYNAMICS),
    ],
)
def test_both_moved(performance, expected):
    found = classified(run(0), run(0, activation=ACTIVATION * TILT, **NOISIER), performance=performance)
    assert found.label is expected
    assert (found.label is Label.LEARNING_SIDE) != ("benefit unproven" in found.reason)


@pytest.mark.parametrize(
    ("performance", "expected"),
    [
        (Performance(token_gain=0.01), Label.EXECUTION_SIDE),
        (Performance(token_gain=0.01, throughput_gain=0.3), Label.EXECUTION_SIDE),
        (Performance(throughput_gain=0.3), Label.EXECUTION_SIDE),
        (Performance(token_gain=0.1), Label.UNEXPLAINED_GAIN),
        (Performance(token_gain=0.1, throughput_gain=0.3), Label.UNEXPLAINED_GAIN),
        (Performance(token_gain=-0.1), Label.UNEXPLAINED_SLOWDOWN),
        (Performance(), Label.INCONCLUSIVE),
        (Performance(token_gain=0.01, token_gain_error=0.1), Label.INCONCLUSIVE),
        (Performance(throughput_gain=0.01), Label.INCONCLUSIVE),
    ],
)
def test_both_equal(performance, expected):
    found = classified(run(0), run(0), performance=performance)
    assert found.label is expected
    assert (len(found.possible) == 3) == (expected is Label.INCONCLUSIVE)


def test_too_small_a_probe_is_inconclusive_and_says_what_would_do():
    found = classified(run(0, noise=0.3), run(1, noise=0.3), paired=False)
    assert found.label is Label.INCONCLUSIVE
    assert found.head.flag is found.gradients.flag is Flag.INCONCLUSIVE
    assert len(found.possible) == 7
    assert "head: neither moved nor shown equal" in found.reason
    for counted in (*found.head.statistics, *found.gradients.statistics):
        assert counted.num_undecided > 0
        assert counted.obstacles
    equality = found.head.statistics[0].sequences_to_equal
    assert equality is not None
    assert equality > SEQUENCES["activation_covariance"]


def test_without_gradients_the_label_says_what_is_missing():
    found = classified(run(0, gradients=False), run(0, activation=ACTIVATION * TILT, gradients=False))
    assert found.gradients.flag is Flag.NOT_MEASURED
    assert found.label is Label.INCONCLUSIVE
    assert found.reason == "gradients: not measured in both runs; scan both with them"
    assert found.possible == (Label.LEARNING_SIDE, Label.LEARNING_DYNAMICS, Label.REPRESENTATION)
    equal = classified(run(0, gradients=False), run(0, gradients=False))
    assert Label.EXECUTION_SIDE in equal.possible
    assert equal.label is Label.INCONCLUSIVE


def test_two_layers_are_too_few():
    found = classified(run(0, num_layers=2), run(0, activation=ACTIVATION * TILT, num_layers=2))
    assert found.label is Label.INCONCLUSIVE
    assert found.reason == "head in 2 and gradients in 2 shared layers; at least 3 are needed"
    # of the gradients too, and layers where they have no number do not count
    baseline, steeper = run(0), run(0, activation=ACTIVATION * TILT, **NOISIER)
    differences = [
        replace(one, found=replace(one.found, delta=math.nan, verdict=Verdict.INCONCLUSIVE))
        if one.measurement == "gradient_covariance" and one.site.layer > 1
        else one
        for one in compared(baseline, steeper)
    ]
    fewer = classify(differences, 3.0, num_sequences=SEQUENCES)
    assert (fewer.label, fewer.gradients.num_sites) == (Label.INCONCLUSIVE, 8)
    assert fewer.reason == "gradients in 2 shared layers; at least 3 are needed"


def test_other_aligned_points_do_not_count():
    moved = compared(run(0), run(0, activation=ACTIVATION * TILT))
    found = classify(moved, 2.0, num_sequences=SEQUENCES)
    assert found.head.flag is Flag.NOT_MEASURED


def test_seeds_turn_a_difference_of_checkpoints_into_one_of_recipes():
    baseline, changed = run(0), run(0, activation=ACTIVATION * TILT)
    alike = [compared(baseline, run(seed)) for seed in (1, 2)]
    found = classified(baseline, changed, replicates=alike)
    assert (found.confidence, found.label) == (Confidence.SEEDS, Label.REPRESENTATION)
    assert not any("checkpoint-level" in caveat for caveat in found.caveats)
    # seeds that differ as much as the intervention does
    apart = [
        compared(baseline, run(seed, activation=ACTIVATION * TILT**strength))
        for seed, strength in ((1, 1.0), (2, -1.0))
    ]
    unsure = classified(baseline, changed, replicates=apart)
    assert unsure.head.flag is Flag.INCONCLUSIVE
    assert classified(baseline, changed).confidence is Confidence.CHECKPOINTS
    assert math.isfinite(unsure.head.statistics[0].seed_floor)
