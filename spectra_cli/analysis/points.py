"""A run at an aligned point: its spectra and numbers, interpolated between two checkpoints.

Everything comes with its delete-one-block values, so that a difference of two points has the standard
error of a single one. Where the runs are aligned on a loss that was measured on the same probe, that loss
has the probe's noise too: without a block the point itself moves, and every number with it. Source: specs E1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spectra_cli.analysis.decisions import Estimated
from spectra_cli.analysis.matching import Bracket
from spectra_cli.analysis.quantities import Quantity
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Scalar, Site, Spectrum
from spectra_cli.statistics.jackknife import with_replicates
from spectra_cli.statistics.noise_scale import NOISE, SIGNAL, noise_scale_rows
from spectra_cli.statistics.statistic import estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """A run at one aligned point.

    Attributes:
        before, after: the checkpoints around it; the same one where the point is a checkpoint.
        bracket: where between them.
        loss_step: loss of `after` minus that of `before`; NaN unless aligned on a loss of the probe.
        loss_noise: (1 + B,) how much the loss at the point changes without each block; empty without
            blocks. Its first value, of the whole probe, is 0.
    """

    before: CheckpointSpectra
    after: CheckpointSpectra
    bracket: Bracket
    loss_step: float = math.nan
    loss_noise: FloatArray = field(default_factory=lambda: np.empty(0))

    def interpolate(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """A number, (1 + B,), or a vector, (1 + B, K), of both checkpoints at the point.

        Without block b the loss at the point is off by `loss_noise[b]`: the number is moved back to
        where the loss would be the target, along the line between the checkpoints.
        """
        if self.before is self.after:
            return before
        rows = self.bracket.between(before, after)
        if self.loss_noise.size != len(rows) or not self.loss_step:
            return rows
        slope = (after[0] - before[0]) / self.loss_step
        moved: FloatArray = np.multiply.outer(self.loss_noise, slope)
        return rows - moved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberAt:
    """A number of a run at a point.

    Attributes:
        estimated: with its delete-one-block values; NaN where it does not exist.
        interpolated: how far it lies from that of the nearer checkpoint.
        reason: why there is none; empty otherwise.
    """

    estimated: Estimated
    interpolated: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectrumAt:
    """One spectrum of a run at a point: at both checkpoints, with their delete-one-block rows."""

    point: Point
    before: Spectrum
    after: Spectrum
    rows_before: FloatArray
    rows_after: FloatArray

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Samples in each block."""
        return self.before.block_sizes

    def number(self, quantity: Quantity) -> NumberAt:
        """A statistic of the spectrum at the point."""
        early = estimate(quantity.statistic, self.before, self.rows_before)
        late = early
        if self.after is not self.before:
            late = estimate(quantity.statistic, self.after, self.rows_after)
        for one in (early, late):
            if not one.status.has_value:
                return NumberAt(estimated=self._nothing(), reason=one.reason)
        rows = [_as_compared(one.per_row, quantity, self.before) for one in (early, late)]
        return interpolated(self.point, rows[0], rows[1], self.block_sizes)

    def eigenvalues(self) -> FloatArray:
        """(1 + B, rank) the whole spectrum at the point, interpolated in its logarithm."""
        if self.before is self.after:
            return self.rows_before
        both = (self.rows_before > 0) & (self.rows_after > 0)
        logs = self.point.interpolate(
            np.log(np.where(both, self.rows_before, 1.0)), np.log(np.where(both, self.rows_after, 1.0))
        )
        return np.where(both, np.exp(logs), 0.0)

    def _nothing(self) -> Estimated:
        return Estimated(per_row=np.full(1 + len(self.block_sizes), np.nan), block_sizes=self.block_sizes)


def spectra_at(point: Point) -> Mapping[tuple[str, Site], Spectrum]:
    """The spectra of the later checkpoint by measurement and place, to be found from the earlier one's."""
    return {(s.measurement, s.site): s for s in point.after.spectra}


def spectrum_at(
    point: Point, before: Spectrum, later: Mapping[tuple[str, Site], Spectrum]
) -> SpectrumAt | None:
    """A spectrum of the earlier checkpoint with the same of the later one; None where that has none alike."""
    after = later.get((before.measurement, before.site))
    if after is None or after.block_sizes != before.block_sizes or after.values.size != before.values.size:
        return None
    rows = with_replicates(before)
    return SpectrumAt(
        point=point,
        before=before,
        after=after,
        rows_before=rows,
        rows_after=rows if after is before else with_replicates(after),
    )


def interpolated(
    point: Point, before: FloatArray, after: FloatArray, block_sizes: tuple[int, ...]
) -> NumberAt:
    """A number at the point from its values at both checkpoints, (1 + B,) each."""
    share = min(point.bracket.share, 1.0 - point.bracket.share)
    off = 0.0 if point.before is point.after else abs(float(after[0] - before[0])) * share
    return NumberAt(
        estimated=Estimated(per_row=point.interpolate(before, after), block_sizes=block_sizes),
        interpolated=off if math.isfinite(off) else 0.0,
    )


def log_noise_scales(point: Point) -> Mapping[Site, NumberAt]:
    """The logarithm of the gradient noise scale of each matrix at the point."""
    early, late = _signals(point.before), _signals(point.after)
    found: dict[Site, NumberAt] = {}
    for site, pair in early.items():
        if site not in late or late[site][0].block_sizes != pair[0].block_sizes:
            continue
        rows = [np.log(noise_scale_rows(*both)) for both in (pair, late[site])]
        sizes = pair[0].block_sizes if rows[0].size > 1 else ()
        number = interpolated(point, rows[0], rows[1], sizes)
        known = math.isfinite(number.estimated.value)
        why = "" if known else "the samples are too few to tell the mean gradient from zero"
        found[site] = NumberAt(estimated=number.estimated, interpolated=number.interpolated, reason=why)
    return found


def _signals(checkpoint: CheckpointSpectra) -> dict[Site, tuple[Scalar, Scalar]]:
    """Signal and noise of each site's gradients, where both were measured."""
    found: dict[Site, dict[str, Scalar]] = {}
    for scalar in checkpoint.scalars:
        if scalar.name in (SIGNAL, NOISE) and scalar.site is not None:
            found.setdefault(scalar.site, {})[scalar.name] = scalar
    return {site: (both[SIGNAL], both[NOISE]) for site, both in found.items() if len(both) == 2}


def _as_compared(per_row: FloatArray, quantity: Quantity, spectrum: Spectrum) -> FloatArray:
    values = per_row / spectrum.values.size if quantity.per_value else per_row
    if not quantity.logarithm:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: FloatArray = np.log(values)
    return np.where(np.isfinite(logs), logs, np.nan)
