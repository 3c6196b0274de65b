"""Which numbers two runs are compared in, and how small a difference counts as none.

Sizes (ranks, norms, noise scales) are compared by their logarithm and then called `log_...`: a difference
is a ratio. Between models of different width the names end in `_frac` where ranks are taken relative to
the width. See docs/explanation/comparing.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from spectra_cli.core.measurements import GRADIENT_MATRIX, GRADIENTS
from spectra_cli.core.types import Spectrum
from spectra_cli.statistics.exponents import WIDTH_OF_30_150, sample_scaled_window, scaled_window
from spectra_cli.statistics.noise_scale import GRADIENT_NOISE_SCALE
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import Definition, Statistic

JENSEN_SHANNON = "jensen_shannon"
RANK_WASSERSTEIN = "rank_wasserstein"
HEAD_LOG_DISTANCE = "log_spectral_distance_head"
TAIL_LOG_DISTANCE = "log_spectral_distance_tail"
HEAD_MOVEMENT = "head_movement"
LOG_NOISE_SCALE = f"log_{GRADIENT_NOISE_SCALE.name}"
FRACTIONAL = "_frac"
HEAD_RANKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """A distance between two spectra: never negative, and without a sign to read.

    Attributes:
        short: at the head of a column; phrase: in a sentence.
        margin: how large it may be between spectra that are called equal.
    """

    short: str
    phrase: str
    margin: float


DISTANCES = {
    JENSEN_SHANNON: Distance(short="JS", phrase="Jensen-Shannon divergence", margin=1.3e-3),
    RANK_WASSERSTEIN: Distance(short="rank W1", phrase="Wasserstein distance over ranks", margin=0.015),
    HEAD_LOG_DISTANCE: Distance(short="LSD head", phrase="log-spectral distance of the head", margin=0.05),
    TAIL_LOG_DISTANCE: Distance(short="LSD tail", phrase="log-spectral distance of the tail", margin=0.05),
    HEAD_MOVEMENT: Distance(short="head movement", phrase="head movement", margin=0.05),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A statistic as it is compared.

    Attributes:
        name: in tables and documents.
        statistic: what is computed.
        logarithm: whether its logarithm is what is compared.
        per_value: whether it is divided by the number of ranks first.
        margin: a difference that counts as none.
    """

    name: str
    statistic: Statistic
    logarithm: bool
    per_value: bool
    margin: float


def quantities(
    first: Spectrum, second: Spectrum, asked_for: Sequence[str] | None = None
) -> tuple[Quantity, ...]:
    """The statistics in which two spectra of one measurement are compared.

    Args:
        first, second: the spectra; only their sizes matter.
        asked_for: names, with or without `log_` and `_frac`; None for the default ones: of the two tails
            of an activation spectrum the one over ranks 30-150 if both are wide enough, of different widths
            always the scaled one.
    """
    same_width = first.values.size == second.values.size
    measurement = first.measurement
    if asked_for is None:
        names = [
            name
            for name, statistic in STATISTICS.items()
            if measurement in statistic.compared and _is_the_tail(name, first, same_width=same_width)
        ]
    else:
        plain = [plain_name(name) for name in asked_for]
        names = [n for n, s in STATISTICS.items() if n in plain and measurement in s.measurements]
    return tuple(_quantity(STATISTICS[name], same_width=same_width) for name in names)


@cache
def plain_name(name: str) -> str:
    """The name in the registry.

    >>> plain_name("log_rankme_cov_frac")
    'rankme_cov'
    """
    if name.removesuffix(FRACTIONAL) in DISTANCES:
        return name.removesuffix(FRACTIONAL)
    return name.removesuffix(FRACTIONAL).removeprefix("log_")


def is_distance(name: str) -> bool:
    """Whether a number is a distance between two spectra: never negative, and without a sign to read."""
    return name.removesuffix(FRACTIONAL) in DISTANCES


def tail_window(spectrum: Spectrum) -> tuple[int, int] | None:
    """Ranks of the tail in which two spectra are compared; None where it does not fit."""
    if spectrum.measurement in (GRADIENTS, GRADIENT_MATRIX):
        low, high = sample_scaled_window(spectrum.num_samples)
    elif spectrum.values.size >= WIDTH_OF_30_150:
        low, high = 30, 150
    else:
        low, high = scaled_window(spectrum.values.size)
    fits = high <= spectrum.values.size and spectrum.values[high - 1] > spectrum.zero_threshold
    return (low, high) if fits and high - low >= HEAD_RANKS else None


def _is_the_tail(name: str, spectrum: Spectrum, *, same_width: bool) -> bool:
    """Whether a statistic is none of the two tails, or the one to compare."""
    wide = same_width and spectrum.ambient_dim >= WIDTH_OF_30_150
    return {"tail_exponent_30_150": wide, "tail_exponent_scaled": not wide}.get(name, True)


def _quantity(statistic: Statistic, *, same_width: bool) -> Quantity:
    family = statistic.family
    per_value = not same_width and family.per_dimension
    scaled = not same_width and (per_value or statistic.scaled_by_width)
    return Quantity(
        name=("log_" if family.logarithm else "") + statistic.name + (FRACTIONAL if scaled else ""),
        statistic=statistic,
        logarithm=family.logarithm,
        per_value=per_value,
        margin=family.margin,
    )


def described(name: str) -> Definition | Distance | None:
    """What is known of a number by its name, with or without `log_` and `_frac`; None where nothing is."""
    plain = plain_name(name)
    return DISTANCES.get(plain) or DEFINITIONS.get(plain)


def margin_of(name: str) -> float:
    """A difference in this number that counts as none."""
    of = described(name)
    if of is None:
        raise KeyError(name)
    return of.margin if isinstance(of, Distance) else of.family.margin


def statistic_words(name: str) -> str:
    """A number at the head of a column; the name itself where there are no words for it.

    >>> statistic_words("tail_exponent_scaled_frac"), statistic_words("log_rankme_cov")
    ('α tail scaled frac', 'log RankMe')
    """
    of = described(name)
    if of is None:
        return name
    log = "log " if name.startswith("log_") and not isinstance(of, Distance) else ""
    return log + of.short.replace("\n", " ") + (" frac" if name.endswith(FRACTIONAL) else "")


def known_names() -> tuple[str, ...]:
    """Everything that can be asked for by name."""
    return (*STATISTICS, GRADIENT_NOISE_SCALE.name, *DISTANCES)
