"""All statistics of one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.types import CheckpointSpectra, Scalar, Spectrum, StatisticValue, Status
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.statistics.jackknife import scalar_standard_error, with_replicates
from spectra_cli.statistics.noise_scale import GRADIENT_NOISE_SCALE, noise_scales
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import evaluate

_WHY_NO_VALUE = {
    Status.PARTIAL: "only a part of it was measured",
    Status.BELOW_FLOOR: "it is below its noise floor",
    Status.UNRESOLVED: "the samples do not determine it",
    Status.ZERO: "everything that it is made of is zero",
    Status.NONFINITE: "a value that it is made of is not finite",
    Status.NOT_APPLICABLE: "it has no meaning here",
}


def summarise(
    checkpoint: CheckpointSpectra, names: Sequence[str] | None = None
) -> tuple[StatisticValue, ...]:
    """The statistics of a checkpoint: of its spectra, its scalars, and the gradient noise scale.

    Args:
        checkpoint: what was measured.
        names: statistics or scalars to compute, in any order; None for those shown by default. A name
            gives one value for each spectrum of the measurements that it is defined for.

    Returns:
        Scalars first, then the noise scales, then spectrum after spectrum, each in registry order.

    Raises:
        UsageError: a name is neither a statistic nor a scalar of this checkpoint.
    """
    if names is not None:
        _check_names(names, checkpoint)
    step = checkpoint.ref.step
    values = [_passed_through(s, step) for s in checkpoint.scalars if names is None or s.name in names]
    if names is None or GRADIENT_NOISE_SCALE.name in names:
        values.extend(noise_scales(checkpoint.scalars, step=step))
    for spectrum in checkpoint.spectra:
        values.extend(_of_spectrum(spectrum, names, step))
    return tuple(values)


def _of_spectrum(
    spectrum: Spectrum, names: Sequence[str] | None, step: int | None
) -> Iterator[StatisticValue]:
    rows = with_replicates(spectrum)
    for name, statistic in STATISTICS.items():
        asked_for = statistic.by_default(spectrum) if names is None else name in names
        if asked_for and spectrum.measurement in statistic.measurements:
            yield evaluate(statistic, spectrum, step=step, rows=rows)


def _passed_through(scalar: Scalar, step: int | None) -> StatisticValue:
    reason = "" if scalar.status is Status.OK else _WHY_NO_VALUE[scalar.status]
    return StatisticValue(
        name=scalar.name,
        measurement=scalar.measurement,
        site=scalar.site,
        step=step,
        value=scalar.value,
        stderr=scalar_standard_error(scalar),
        status=scalar.status,
        unit=scalar.unit,
        reason=reason,
    )


def _check_names(names: Sequence[str], checkpoint: CheckpointSpectra) -> None:
    known = [*DEFINITIONS, *dict.fromkeys(s.name for s in checkpoint.scalars)]
    for name in names:
        if name not in known:
            meant = did_you_mean(name, known)
            raise UnknownNameError(f"no statistic is called {name!r}{meant}. Known: {', '.join(known)}")
