"""What a statistic of a spectrum is, and how one is evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spectra_cli.core.types import FloatArray, Spectrum, SpectrumKind, StatisticValue, Status
from spectra_cli.statistics.jackknife import standard_error, standard_errors, with_replicates

ZERO_TRACE = 1e-30  # docs/explanation/estimators.md
LARGEST = 1e140  # its square, summed over any spectrum, is still finite


class Deferred(Mapping[str, float]):
    """Details that are computed when first looked at: comparisons of thousands of numbers never look."""

    __slots__ = ("_compute", "_found")

    def __init__(self, compute: Callable[[], Mapping[str, float]]) -> None:
        self._compute = compute
        self._found: Mapping[str, float] | None = None

    def _details(self) -> Mapping[str, float]:
        if self._found is None:
            self._found = self._compute()
        return self._found

    def __getitem__(self, name: str) -> float:
        return self._details()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._details())

    def __len__(self) -> int:
        return len(self._details())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """What a statistic found in one spectrum.

    Attributes:
        value: NaN exactly when `status` has no value.
        per_row: (1 + B,) the number on the whole spectrum, then without each block: what the
            standard error is computed from. NaN where it is not defined; empty without a value.
        status, reason, details: as in `StatisticValue`.
    """

    value: float
    per_row: FloatArray = field(default_factory=lambda: np.empty(0))
    status: Status = Status.OK
    reason: str = ""
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Numbers that are read and compared alike (docs/explanation/comparing.md).

    Attributes:
        larger, smaller: what a number is called that is so.
        margin: a difference that counts as none.
        logarithm: whether logarithms are compared, so that a difference is a ratio.
        per_dimension: whether it is divided by the number of ranks where models have different widths.
    """

    larger: str = "larger"
    smaller: str = "smaller"
    margin: float = 0.05
    logarithm: bool = False
    per_dimension: bool = False


DECAY_EXPONENT = Family(larger="steeper", smaller="flatter")
RANK = Family(logarithm=True, per_dimension=True)
SHARE = Family(margin=0.01)
SIZE = Family(logarithm=True)
SCALE = Family(logarithm=True, margin=math.log(1.25))
LEVEL = Family()  # may be zero, and so has no logarithm

# units that the name says, or that say nothing at the head of a column
_SELF_EVIDENT = ("", "dimensions", "weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a number in a table means.

    Attributes:
        name: with its definition in it (`rankme_cov`, `tail_exponent_30_150`).
        title: a few words, for a list of definitions.
        short: at the head of a column, which may break at its line ends.
        phrase: in a sentence; the name where there is none.
        family: how it is read and compared.
        unit: empty for pure numbers.
        summary: formula and reading, in one or two sentences.
        source: author, year, or the page that defines it.
    """

    name: str
    title: str
    short: str
    family: Family
    unit: str = ""
    summary: str
    source: str = "a standard definition"
    phrase: str = ""

    @property
    def head(self) -> str:
        """Of a column: `short`, with the unit where it does not go without saying."""
        return self.short if self.unit in _SELF_EVIDENT else f"{self.short}\n({self.unit})"


def always(spectrum: Spectrum) -> bool:
    """Shown by default for every spectrum."""
    return True


def never(spectrum: Spectrum) -> bool:
    """Shown only when asked for by name."""
    return False


# (eigenvalues (S, 1 + B, rank), S spectra) -> S estimates: the rows of each are the whole spectrum and its
# delete-one-block replicates, the spectra give sizes, kind and threshold
Stacked = Callable[[FloatArray, Sequence[Spectrum]], list[Estimate]]


def at_once(function: Callable[[FloatArray], FloatArray]) -> Stacked:
    """What takes the rows (S, 1 + B, rank) of all spectra to a number each."""
    return lambda stack, _: each(function(stack))


def one_by_one(function: Callable[[FloatArray, Spectrum], Estimate]) -> Stacked:
    """What takes the rows (1 + B, rank) of one spectrum, where many at once would not cost less."""
    return lambda stack, spectra: [function(rows, one) for rows, one in zip(stack, spectra, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic(Definition):
    """A number computed from one spectrum.

    Attributes:
        measurements: names of the measurements whose spectra it is defined for.
        function: from the eigenvalues of several spectra of one size to an estimate of each.
        by_default: whether it is computed for this spectrum when no statistic is asked for by name.
        compared: measurements in which two runs are compared by it when nothing is asked for by name.
        scaled_by_width: whether its ranks are relative to the width.
    """

    measurements: tuple[str, ...]
    function: Stacked
    by_default: Callable[[Spectrum], bool] = always
    compared: tuple[str, ...] = ()
    scaled_by_width: bool = False


def unresolved(reason: str, details: Mapping[str, float] | None = None) -> Estimate:
    """No value, because the spectrum cannot give one."""
    return Estimate(value=math.nan, status=Status.UNRESOLVED, reason=reason, details=details or {})


def of_rows(per_row: FloatArray, details: Mapping[str, float] | None = None) -> Estimate:
    """The number of the first row, with the others as its replicates."""
    return Estimate(value=float(per_row[0]), per_row=per_row, details={} if details is None else details)


def each(per_row: FloatArray) -> list[Estimate]:
    """`of_rows` of every spectrum: (S, 1 + B)."""
    return [
        Estimate(value=value, per_row=own) for value, own in zip(per_row[:, 0].tolist(), per_row, strict=True)
    ]


def eigenvalue_threshold(spectrum: Spectrum) -> float:
    """The numerical zero of a spectrum, on the eigenvalue scale."""
    is_singular = spectrum.kind is SpectrumKind.SINGULAR_VALUES
    return spectrum.zero_threshold**2 if is_singular else spectrum.zero_threshold


def evaluate(
    statistic: Statistic, spectrum: Spectrum, *, step: int | None, rows: FloatArray | None = None
) -> StatisticValue:
    """The statistic of a spectrum with its block-jackknife standard error.

    The standard error is NaN without a block profile, and also when the statistic is not defined on
    one of the delete-one-block spectra; `details["replicates_undefined"]` then counts those.

    Args:
        statistic: what to compute.
        spectrum: of what.
        step: of the checkpoint.
        rows: `with_replicates(spectrum)`, if the caller has it already.
    """
    found = estimate(statistic, spectrum, rows)
    # looked at here, so that no value keeps the rows alive that its details are computed from
    stderr, details = math.nan, dict(found.details)
    if found.per_row.size > 1:
        stderr = standard_error(found.per_row, spectrum.block_sizes)
        if math.isnan(stderr):
            num_undefined = float(np.isnan(found.per_row).sum())
            details = {**details, "replicates_undefined": num_undefined}
    return StatisticValue(
        name=statistic.name,
        measurement=spectrum.measurement,
        site=spectrum.site,
        step=step,
        value=found.value,
        stderr=stderr,
        status=found.status,
        unit=statistic.unit,
        reason=found.reason,
        details=details,
    )


def evaluate_alike(
    statistic: Statistic, spectra: Sequence[Spectrum], stack: FloatArray, *, step: int | None
) -> list[StatisticValue]:
    """`evaluate` of spectra of as many values and the same blocks, all at once and without details.

    Args:
        statistic: what to compute; spectra: S of them; stack: (S, 1 + B, rank) the rows of each.
        step: of the checkpoint.
    """
    found = estimates(statistic, spectra, stack)
    errors = dict.fromkeys(range(len(found)), math.nan)
    with_rows = [place for place, one in enumerate(found) if one.per_row.size > 1]
    if with_rows:
        per_row = np.array([found[place].per_row for place in with_rows])
        errors |= zip(with_rows, standard_errors(per_row, spectra[0].block_sizes).tolist(), strict=True)
    return [
        StatisticValue(
            name=statistic.name,
            measurement=spectrum.measurement,
            site=spectrum.site,
            step=step,
            value=one.value,
            stderr=errors[place],
            status=one.status,
            unit=statistic.unit,
            reason=one.reason,
        )
        for place, (spectrum, one) in enumerate(zip(spectra, found, strict=True))
    ]


def estimate(statistic: Statistic, spectrum: Spectrum, rows: FloatArray | None = None) -> Estimate:
    """The statistic of a spectrum with its delete-one-block values, from which differences are judged.

    Args:
        statistic: what to compute.
        spectrum: of what.
        rows: `with_replicates(spectrum)`, if the caller has it already.
    """
    rows = with_replicates(spectrum) if rows is None else rows
    return estimates(statistic, [spectrum], rows[None])[0]


def estimates(statistic: Statistic, spectra: Sequence[Spectrum], stack: FloatArray) -> list[Estimate]:
    """`estimate` of several spectra of as many values each.

    Args:
        statistic: what to compute.
        spectra: S of them.
        stack: (S, 1 + B, rank) the rows of each.
    """
    # what is cut off here overflows, which is found out before anything is made of the sum
    first, trace = stack[:, 0, 0].tolist(), np.minimum(stack[:, 0], LARGEST).sum(-1).tolist()
    found = {
        place: nothing
        for place, spectrum in enumerate(spectra)
        if (nothing := _nothing_of(statistic, spectrum, first[place], trace[place])) is not None
    }
    rest = [place for place in range(len(spectra)) if place not in found]
    rows, measured = (stack[rest], [spectra[place] for place in rest]) if found else (stack, spectra)
    found |= zip(rest, statistic.function(rows, measured) if rest else [], strict=True)
    return [found[place] for place in range(len(spectra))]


def _nothing_of(statistic: Statistic, spectrum: Spectrum, first: float, trace: float) -> Estimate | None:
    """The estimate of a spectrum that the statistic cannot be computed of; None if it can."""
    if spectrum.measurement not in statistic.measurements:
        accepted = ", ".join(statistic.measurements)
        reason = f"{statistic.name} is defined for {accepted}, not for {spectrum.measurement}"
        return Estimate(value=math.nan, status=Status.NOT_APPLICABLE, reason=reason)
    if first > LARGEST:
        reason = f"the first eigenvalue is {first:.1e}: its square would overflow"
        return Estimate(value=math.nan, status=Status.NONFINITE, reason=reason)
    if trace <= ZERO_TRACE:
        total = f"{trace:.1e}" if trace else "zero"
        reason = f"the eigenvalues sum to {total}: there is nothing to measure"
        return Estimate(value=math.nan, status=Status.ZERO, reason=reason)
    return None
