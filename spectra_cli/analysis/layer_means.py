"""One number of a checkpoint: a statistic's mean over some layers, with its error.

The layers see the same probe, so that their errors are correlated: the mean is taken of the delete-one-block
values, and its error from those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.errors import DataError, NotHeldError, UnknownNameError
from spectra_cli.core.measurements import ACTIVATIONS
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Spectrum, Status
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.core.words.places import site_words
from spectra_cli.statistics.exponents import WIDTH_OF_30_150
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import Statistic, estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerMean:
    """A statistic's mean over layers.

    Attributes:
        estimated: None where a layer has no value.
        layers: averaged over.
        status: the worst of the layers; `reason`: of the first layer that has it, with its address.
    """

    estimated: Estimated | None
    layers: tuple[int, ...]
    status: Status = Status.OK
    reason: str = ""


def layer_mean(spectra: Sequence[Spectrum], statistic: Statistic) -> LayerMean:
    """Mean of a statistic over spectra, one or more a layer, of one checkpoint.

    Nothing is left out of the mean: where one layer has no value, there is none. Of a count of directions
    (`rank_90`) the interpolated number is taken, not the rounded one.
    """
    layers = tuple(sorted({s.site.layer for s in spectra if s.site.layer is not None}))
    rows: list[FloatArray] = []
    status, reason = Status.OK, ""
    for spectrum in spectra:
        found = estimate(statistic, spectrum)
        told = f"{site_words(spectrum.site)}: {found.reason}"
        if not found.status.has_value:
            return LayerMean(estimated=None, layers=layers, status=found.status, reason=told)
        if found.status is not Status.OK and status is Status.OK:
            status, reason = found.status, told
        rows.append(found.per_row)
    sizes = {spectrum.block_sizes for spectrum in spectra}
    if len(sizes) > 1 or len({row.size for row in rows}) > 1:
        estimated = Estimated(per_row=np.array([np.mean([row[0] for row in rows])]), block_sizes=())
    else:
        estimated = Estimated(per_row=np.mean(rows, axis=0), block_sizes=spectra[0].block_sizes)
    return LayerMean(estimated=estimated, layers=layers, status=status, reason=reason)


def last_third(layers: Sequence[int]) -> tuple[int, ...]:
    """The last third of the measured layers, at least one.

    >>> last_third(range(12)), last_third([0, 1])
    ((8, 9, 10, 11), (1,))
    """
    ordered = sorted(layers)
    return tuple(ordered[-max(1, len(ordered) // 3) :])


def tail_statistic(name: str | None, widths: Sequence[int]) -> Statistic:
    """The statistic asked for; by default the tail exponent that all these widths have in common.

    Raises:
        UsageError: no statistic is called so.
    """
    if name in (None, "tail_exponent"):
        wide = len(set(widths)) == 1 and widths[0] >= WIDTH_OF_30_150
        return STATISTICS["tail_exponent_30_150" if wide else "tail_exponent_scaled"]
    if name not in STATISTICS:
        raise UnknownNameError(
            f"no statistic of spectra is called {name!r}{did_you_mean(name, STATISTICS)}. "
            f"Known: tail_exponent, {', '.join(STATISTICS)}"
        )
    return STATISTICS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenSites:
    """Where a statistic is taken, the same at every checkpoint of a run.

    Attributes:
        measurement: of the spectra; layers: averaged over; addresses: of the sites inside them.
    """

    measurement: str
    layers: tuple[int, ...]
    addresses: frozenset[str]


def common_measurement(checkpoints: Sequence[CheckpointSpectra], statistic: Statistic) -> str:
    """The first measurement inside layers that the statistic is defined for, of all these checkpoints.

    Raises:
        DataError: none of them has one.
    """
    for measurement in statistic.measurements:
        if any(_inside_layers(checkpoint, measurement) for checkpoint in checkpoints):
            return measurement
    wanted, there = ", ".join(statistic.measurements), {s.measurement for c in checkpoints for s in c.spectra}
    raise DataError(
        f"{statistic.name} needs spectra of {wanted}; {checkpoints[0].ref.run} holds "
        f"{', '.join(sorted(there)) or 'none'}. Scan with --measure activations, or give --statistic."
    )


def choose_sites(
    checkpoints: Sequence[CheckpointSpectra],
    statistic: Statistic,
    layers: str | Sequence[int],
    *,
    measurement: str | None = None,
) -> ChosenSites:
    """Measurement and layers for all these checkpoints of a run, of what any of them holds.

    Args:
        checkpoints: of one run; layers: `last`, `last-third`, `all`, or their numbers.
        measurement: None for the one that the checkpoints have.

    Raises:
        DataError: as in `common_measurement`.
        UsageError: a layer that was not measured at any of them.
    """
    measurement = measurement or common_measurement(checkpoints, statistic)
    spectra = [s for checkpoint in checkpoints for s in _inside_layers(checkpoint, measurement)]
    measured = sorted({s.site.layer for s in spectra if s.site.layer is not None})
    named = {"last": measured[-1:], "last-third": last_third(measured), "all": measured}
    chosen = set(named[layers] if isinstance(layers, str) else layers)
    if missing := sorted(chosen.difference(measured)) if measured else []:
        held = ", ".join(map(str, measured))
        raise NotHeldError(
            f"{checkpoints[0].ref.run} holds no layer {', '.join(map(str, missing))} of {measurement}; it "
            f"holds {held}"
        )
    return ChosenSites(
        measurement=measurement,
        layers=tuple(sorted(chosen)),
        addresses=frozenset(s.site.address for s in spectra if s.site.layer in chosen),
    )


def mean_over_layers(checkpoint: CheckpointSpectra, statistic: Statistic, chosen: ChosenSites) -> LayerMean:
    """The statistic's mean over the sites chosen; no number where one of them is missing here."""
    found = [s for s in _inside_layers(checkpoint, chosen.measurement) if s.site.address in chosen.addresses]
    missing = chosen.addresses.difference(s.site.address for s in found)
    if missing or not found:
        what = ", ".join(sorted(missing)) or "any layer"
        return LayerMean(
            estimated=None,
            layers=chosen.layers,
            status=Status.NOT_APPLICABLE,
            reason=f"{checkpoint.ref.key} holds no {chosen.measurement} of {what}",
        )
    return layer_mean(found, statistic)


def _inside_layers(checkpoint: CheckpointSpectra, measurement: str) -> list[Spectrum]:
    return [s for s in checkpoint.select(measurement) if s.site.layer is not None]


def width_of(checkpoint: CheckpointSpectra) -> int:
    """Width of the residual stream, as far as an activation spectrum tells; 0 without one."""
    return max((s.ambient_dim for s in checkpoint.select(ACTIVATIONS)), default=0)
