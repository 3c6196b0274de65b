"""What is tried for which statistic: how far it lies from the truth, over the number of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from docs.finite_samples import known
from docs.finite_samples.known import EXPONENTS, NUM_PARAMETERS, SPIKES, power_law
from spectra_cli.core.measurements import GRADIENT_MATRIX, GRADIENTS
from spectra_cli.core.types import FloatArray, Spectrum
from spectra_cli.statistics.rank_decay import rank_decay_exponent
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import DECAY_EXPONENT, LEVEL, estimate
from tests.builders.spectra import spectrum

WIDTH = 768
ROWS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SEQUENCES = (64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One known truth, tried with several numbers of samples.

    Attributes:
        label: of the truth; value: the number that no finite sample would change.
        draw: (samples, which draw) -> the estimate; NaN where none is given.
    """

    label: str
    value: float
    draw: Callable[[float, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One panel, and one table.

    Attributes:
        title: what is sampled; over: what is counted along the axis; samples: how many of it.
        curves: by truth; draws: how often each is tried.
        is_ratio: whether estimates are divided by the truth, or the truth is taken off.
        shown: what the result is; empty for an estimate against the truth.
        withheld_below: samples below which the tool gives no value; 0 where it always does.
    """

    title: str
    over: str
    samples: tuple[float, ...]
    curves: tuple[Curve, ...]
    draws: int
    is_ratio: bool
    shown: str = ""
    withheld_below: float = 0.0

    def tried(self, curve: Curve, samples: float) -> FloatArray:
        """(draws,) estimates over the truth, or less it; NaN where none is given."""
        found = np.array([curve.draw(samples, draw) for draw in range(self.draws)])
        return found / curve.value if self.is_ratio else found - curve.value


def _estimated(name: str, one: Spectrum) -> float:
    """The tool's number; of a tail that it withholds for want of rows, what its fit would say."""
    statistic = STATISTICS[name]
    found = estimate(statistic, one)
    if not found.status.has_value and statistic.family is DECAY_EXPONENT:
        lo, hi = (int(found.details[end]) for end in ("window_lo", "window_hi"))
        return float(rank_decay_exponent(one.eigenvalues(), lo, hi, threshold=one.zero_threshold))
    return found.value


def _activations(name: str, width: int = WIDTH) -> Experiment:
    def curve(exponent: float) -> Curve:
        truth = spectrum(power_law(width, exponent), num_samples=10**6 * width, ambient_dim=width)
        return Curve(
            label=f"a = {exponent}",
            value=_estimated(name, truth),
            draw=lambda rows, draw: _estimated(name, known.activations(width, exponent, rows, draw)),
        )

    return Experiment(
        title=f"activations of width {width}",
        over="rows per dimension",
        samples=ROWS,
        curves=tuple(map(curve, EXPONENTS)),
        draws=4,
        is_ratio=_is_ratio(name),
        withheld_below=4.0 if name.startswith("tail_") else 0.0,
    )


def _gradients(name: str) -> Experiment:
    centred = GRADIENTS in STATISTICS[name].measurements
    measurement = GRADIENTS if centred else GRADIENT_MATRIX

    def drawn(exponent: float, sequences: float, draw: int) -> float:
        spectra = known.gradients(exponent, round(sequences), draw).spectra
        return _estimated(name, next(one for one in spectra if one.measurement == measurement))

    def curve(exponent: float) -> Curve:
        truth = spectrum(power_law(NUM_PARAMETERS, exponent), measurement)
        return Curve(label=f"a = {exponent}", value=_estimated(name, truth), draw=partial(drawn, exponent))

    words = "gradients" if centred else "uncentred gradients"
    return Experiment(
        title=f"{words} of {NUM_PARAMETERS} parameters",
        over="sequences",
        samples=tuple(map(float, SEQUENCES)),
        curves=tuple(map(curve, EXPONENTS)),
        draws=2,
        is_ratio=_is_ratio(name),
    )


def _is_ratio(name: str) -> bool:
    return DEFINITIONS[name].family not in (DECAY_EXPONENT, LEVEL)


def _effective_rows(name: str) -> Experiment:
    rows = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0)

    def curve(correlation: float) -> Curve:
        label = f"correlation {correlation}"
        return Curve(
            label=label,
            value=1.0,
            draw=lambda n, draw: _estimated(name, known.correlated_rows(correlation, n, draw)) / n,
        )

    return Experiment(
        title="rows of width 128 in sequences of 32, a = 1",
        over="rows per dimension",
        samples=rows,
        curves=tuple(map(curve, (0.0, 0.5, 0.9))),
        draws=10,
        is_ratio=True,
        shown="n_eff / n",
    )


def _weights(name: str) -> Experiment:
    """Square ones and those four times as wide, of noise alone; square ones with planted directions."""

    def curve(label: str, aspect: int, num_spikes: int, value: float) -> Curve:
        return Curve(
            label=label,
            value=value,
            draw=lambda side, draw: _estimated(
                name, known.weight(round(side), aspect * round(side), num_spikes, draw)
            ),
        )

    of_noise, of_spikes = (
        (0.0, float(SPIKES)) if name == "num_outliers" else (1.0, known.soft_rank_of_a_spike(512, 512))
    )
    return Experiment(
        title="weights of independent entries",
        over="smaller side",
        samples=(32.0, 64.0, 128.0, 256.0, 512.0),
        curves=(
            curve("square, noise alone", 1, 0, of_noise),
            curve("1 x 4, noise alone", 4, 0, of_noise),
            curve(f"square, {SPIKES} planted directions", 1, SPIKES, of_spikes),
        ),
        draws=20,
        is_ratio=False,
    )


def _densities(name: str) -> Experiment:
    def curve(exponent: float) -> Curve:
        return Curve(
            label=f"density exponent {exponent:g}",
            value=exponent,
            draw=lambda size, draw: _estimated(name, known.pareto(exponent, round(size), draw)),
        )

    return Experiment(
        title="eigenvalues drawn from a power law",
        over="eigenvalues",
        samples=(50.0, 100.0, 200.0, 400.0, 800.0),
        curves=tuple(map(curve, (2.0, 3.0, 4.0))),
        draws=20,
        is_ratio=False,
    )


def _noise_scales() -> Experiment:
    def curve(truth: float) -> Curve:
        return Curve(
            label=f"noise scale {truth:g}",
            value=truth,
            draw=lambda sequences, draw: known.noise_scale(truth, round(sequences), draw).value,
        )

    return Experiment(
        title="gradients in 64 directions",
        over="sequences",
        samples=(16.0, 32.0, 64.0, 128.0, 256.0, 512.0),
        curves=tuple(map(curve, (16.0, 64.0, 256.0))),
        draws=30,
        is_ratio=True,
    )


def _both(name: str) -> tuple[Experiment, ...]:
    return _activations(name), _gradients(name)


def _one(made: Callable[[str], Experiment], name: str) -> tuple[Experiment, ...]:
    return (made(name),)


_OF_ROWS_AND_SEQUENCES = (
    "head_exponent_1_10",
    "head_exponent_2_10",
    "rankme_cov",
    "participation_ratio",
    "stable_rank",
    "top1_share",
    "top10_share",
    "top50_share",
    "rank_90",
    "rank_99",
)
_OF_ROWS = ("tail_exponent_30_150", "tail_exponent_50_200", "alpha_req_11_100", "spectral_entropy_normalized")

# statistic -> panels of what is tried; not here are those of weights that nothing is estimated in
EXPERIMENTS: Mapping[str, Callable[[], tuple[Experiment, ...]]] = {
    **{name: partial(_both, name) for name in _OF_ROWS_AND_SEQUENCES},
    **{name: partial(_one, _activations, name) for name in _OF_ROWS},
    "tail_exponent_scaled": partial(_one, partial(_activations, width=256), "tail_exponent_scaled"),
    "tail_exponent_sample_scaled": partial(_one, _gradients, "tail_exponent_sample_scaled"),
    "rankme_sv": partial(_one, _gradients, "rankme_sv"),
    "n_eff_over_d": partial(_one, _effective_rows, "n_eff_over_d"),
    "num_outliers": partial(_one, _weights, "num_outliers"),
    "mp_softrank": partial(_one, _weights, "mp_softrank"),
    "density_exponent": partial(_one, _densities, "density_exponent"),
    "gradient_noise_scale": lambda: (_noise_scales(),),
}
