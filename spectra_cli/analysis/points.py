"""A run at an aligned point: its spectra and numbers, interpolated between two checkpoints.

Everything comes with its delete-one-block values, so that a difference of two points has the standard
error of a single one. Where the runs are aligned on a loss that was measured on the same probe, that loss
has the probe's noise too: without a block the point itself moves, and every number with it. Source: specs E1,
with the bend of a number through a third checkpoint as what interpolation may have got wrong: the specs'
distance to the nearer checkpoint is the slope of the number, which interpolation takes off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spectra_cli.analysis.decisions import Estimated
from spectra_cli.analysis.matching import Bracket
from spectra_cli.analysis.quantities import Quantity
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Provenance, Scalar, Site, Spectrum
from spectra_cli.statistics.jackknife import standard_error, with_replicates
from spectra_cli.statistics.noise_scale import NOISE, SIGNAL, noise_scale_rows
from spectra_cli.statistics.statistic import ACTIVATIONS, GRADIENT_MATRIX, GRADIENTS, Estimate, estimate

# setting of the scan that says of how many sequences a measurement is made
_SEQUENCES = {
    ACTIVATIONS: "num_sequences",
    GRADIENTS: "num_gradient_sequences",
    GRADIENT_MATRIX: "num_gradient_sequences",
}
# A scan leaves out at most this share of sequences, those without a finite loss.
_DROPPED = 0.01


def num_sequences(provenance: Provenance, measurement: str) -> int:
    """Sequences of the probe that a measurement is made of; 0 where nothing says."""
    return int(provenance.settings.get(_SEQUENCES.get(measurement, ""), 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """A run at one aligned point.

    Attributes:
        before, after: the checkpoints around it; the same one where the point is a checkpoint.
        bracket: where between them.
        third: the checkpoint that shows how numbers bend between the two; None without one.
        loss_step: loss of `after` minus that of `before`; NaN unless aligned on a loss of the probe.
        loss_noise: (1 + L,) how much the loss at the point changes without each block; empty without
            blocks. Its first value, of the whole probe, is 0.
        loss_sizes: (L,) sequences in each of these blocks.
    """

    before: CheckpointSpectra
    after: CheckpointSpectra
    bracket: Bracket
    third: CheckpointSpectra | None = None
    loss_step: float = math.nan
    loss_noise: FloatArray = field(default_factory=lambda: np.empty(0))
    loss_sizes: tuple[int, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether noise of the loss moves the point between its checkpoints."""
        return self.before is not self.after and bool(self.loss_noise.size) and bool(self.loss_step)

    def has_blocks_of(self, measurement: str) -> bool:
        """Whether the blocks of the loss are the same sequences as those of a measurement.

        Both are dealt in order into as many blocks: they are the same if there are as many sequences.
        """
        number, of_loss = num_sequences(self.before.provenance, measurement), sum(self.loss_sizes)
        return (1 - _DROPPED) * number <= of_loss <= number

    def interpolate(self, before: FloatArray, after: FloatArray, *, with_loss: bool = False) -> FloatArray:
        """A number, (1 + B,), or a vector, (1 + B, K), of both checkpoints at the point.

        Args:
            before, after: of the checkpoints.
            with_loss: the blocks are those of the loss. Without block b it is off by `loss_noise[b]`:
                the number is moved back to where the loss would be the target.
        """
        if self.before is self.after:
            return before
        rows = self.bracket.between(before, after)
        if not (with_loss and self.moves and self.loss_noise.size == len(rows)):
            return rows
        moved: FloatArray = np.multiply.outer(self.loss_noise, self.slope(before, after))
        return rows - moved

    def slope(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """Change of a number on the whole probe with a nat of loss."""
        slope: FloatArray = (after[0] - before[0]) / self.loss_step
        return slope

    def bend(self, before: FloatArray, after: FloatArray, third: FloatArray | None) -> FloatArray:
        """What interpolation may have got wrong in a number on the whole probe, with its sign."""
        if self.before is self.after:
            return np.zeros_like(before[0])
        return self.bracket.bend(before[0], after[0], third)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberAt:
    """A number of a run at a point.

    Attributes:
        estimated: with its delete-one-block values; NaN where it does not exist.
        reason: why there is none, or what limits it; empty otherwise.
    """

    estimated: Estimated
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectrumAt:
    """One spectrum of a run at a point: at its checkpoints, with their delete-one-block rows."""

    point: Point
    before: Spectrum
    after: Spectrum
    third: Spectrum | None
    rows_before: FloatArray
    rows_after: FloatArray
    with_loss: bool

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Samples in each block."""
        return self.before.block_sizes

    def number(self, quantity: Quantity) -> NumberAt:
        """A statistic of the spectrum at the point."""
        found = [estimate(quantity.statistic, self.before, self.rows_before)]
        if self.after is not self.before:
            found.append(estimate(quantity.statistic, self.after, self.rows_after))
        reason = next((one.reason for one in found if one.reason), "")
        for one in found:
            if not one.status.has_value:
                return NumberAt(estimated=nothing(self.block_sizes), reason=one.reason)
        rows = [_as_compared(one, quantity, self.before) for one in found]
        third = None
        if self.third is not None:
            there = estimate(quantity.statistic, self.third, self.third.eigenvalues()[None, :])
            third = _as_compared(there, quantity, self.before)[0] if there.status.has_value else None
        number = interpolated(
            self.point, rows[0], rows[-1], third, self.block_sizes, with_loss=self.with_loss
        )
        return NumberAt(estimated=number, reason=reason)

    def eigenvalues(self) -> FloatArray:
        """(1 + B, rank) the whole spectrum at the point, interpolated in its logarithm."""
        if self.before is self.after:
            return self.rows_before
        rows = self.rows_before, self.rows_after
        both = (rows[0] > 0) & (rows[1] > 0)
        logs = self.point.interpolate(*(_log(one) for one in rows), with_loss=self.with_loss)
        return np.where(both, np.exp(logs), 0.0)

    def bends(self, spectrum: FloatArray) -> bool:
        """Whether the third checkpoint shows how the spectrum bends, or there is nothing to bend."""
        if self.before is self.after or self.point.bracket.share in (0.0, 1.0):
            return True
        return self.third is not None and bool((self.third.eigenvalues()[spectrum > 0] > 0).all())

    def elsewhere(self, spectrum: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The spectrum of the whole probe, (rank,), where the loss is off by a standard error, and bent.

        The first is the same where the blocks of the loss are the spectrum's own, whose rows have its noise.
        """
        if self.before is self.after:
            return spectrum, spectrum
        point, ends = self.point, (_log(self.rows_before[:1]), _log(self.rows_after[:1]))
        third = None
        if self.third is not None and self.bends(spectrum):
            third = _log(self.third.eigenvalues())
        bent = np.where(spectrum > 0, point.bend(*ends, third), 0.0)
        if self.with_loss or not point.moves:
            return spectrum, spectrum * np.exp(bent)
        error = standard_error(point.loss_noise, point.loss_sizes)
        moved = np.where(spectrum > 0, point.slope(*ends) * error, 0.0)
        return spectrum * np.exp(-moved), spectrum * np.exp(bent)


def nothing(block_sizes: tuple[int, ...]) -> Estimated:
    """A number that does not exist."""
    return Estimated(per_row=np.full(1 + len(block_sizes), np.nan), block_sizes=block_sizes)


def of_place(checkpoint: CheckpointSpectra) -> Mapping[tuple[str, Site], Spectrum]:
    """The spectra of a checkpoint by measurement and place."""
    return {(s.measurement, s.site): s for s in checkpoint.spectra}


def spectra_at(point: Point) -> tuple[Mapping[tuple[str, Site], Spectrum], ...]:
    """The spectra of the later and of the third checkpoint, to be found from the earlier one's."""
    return of_place(point.after), {} if point.third is None else of_place(point.third)


def why_not_between(before: Spectrum, after: Spectrum | None) -> str:
    """Why a spectrum of the earlier checkpoint is not interpolated with the same of the later; or empty."""
    if after is None:
        return "it was measured at only one of the checkpoints around it"
    if after.block_sizes != before.block_sizes or after.values.size != before.values.size:
        return "the checkpoints around it have other numbers of samples, or values, there"
    return ""


def spectrum_at(
    point: Point, before: Spectrum, others: tuple[Mapping[tuple[str, Site], Spectrum], ...]
) -> SpectrumAt | None:
    """A spectrum of the earlier checkpoint with those of the others; None where the later has none alike."""
    key = before.measurement, before.site
    after, third = (one.get(key) for one in others)
    if after is None or why_not_between(before, after):
        return None
    rows = with_replicates(before)
    return SpectrumAt(
        point=point,
        before=before,
        after=after,
        third=third if third is not None and third.values.size == before.values.size else None,
        rows_before=rows,
        rows_after=rows if after is before else with_replicates(after),
        with_loss=point.moves and point.has_blocks_of(before.measurement),
    )


def interpolated(
    point: Point,
    before: FloatArray,
    after: FloatArray,
    third: FloatArray | None,
    block_sizes: tuple[int, ...],
    *,
    with_loss: bool,
) -> Estimated:
    """A number at the point from its values at the checkpoints, (1 + B,) each; of the third one, ()."""
    known = third is not None and bool(np.isfinite(third))
    off = float(point.bend(before, after, third if known else None))
    off = off if math.isfinite(off) else 0.0
    apart = point.moves and not with_loss and bool(block_sizes)
    return Estimated(
        per_row=point.interpolate(before, after, with_loss=with_loss),
        block_sizes=block_sizes,
        loss_rows=-point.loss_noise * point.slope(before, after) if apart else np.empty(0),
        loss_sizes=point.loss_sizes if apart else (),
        bend=off if known else 0.0,
        unbent=0.0 if known else abs(off),
    )


def log_noise_scales(point: Point) -> Mapping[Site, NumberAt]:
    """The logarithm of the gradient noise scale of each matrix at the point."""
    early, late = _signals(point.before), _signals(point.after)
    third = {} if point.third is None else _signals(point.third)
    with_loss = point.moves and point.has_blocks_of(GRADIENTS)
    found: dict[Site, NumberAt] = {}
    for site, pair in early.items():
        if site not in late or late[site][0].block_sizes != pair[0].block_sizes:
            continue
        rows = [np.log(noise_scale_rows(*both)) for both in (pair, late[site])]
        sizes = pair[0].block_sizes if rows[0].size > 1 else ()
        there = np.log(noise_scale_rows(*third[site]))[0] if site in third else None
        number = interpolated(point, rows[0], rows[1], there, sizes, with_loss=with_loss)
        known = math.isfinite(number.value)
        why = "" if known else "the samples are too few to tell the mean gradient from zero"
        found[site] = NumberAt(estimated=number, reason=why)
    return found


def _signals(checkpoint: CheckpointSpectra) -> dict[Site, tuple[Scalar, Scalar]]:
    """Signal and noise of each site's gradients, where both were measured."""
    found: dict[Site, dict[str, Scalar]] = {}
    for scalar in checkpoint.scalars:
        if scalar.name in (SIGNAL, NOISE) and scalar.site is not None:
            found.setdefault(scalar.site, {})[scalar.name] = scalar
    return {site: (both[SIGNAL], both[NOISE]) for site, both in found.items() if len(both) == 2}


def _as_compared(found: Estimate, quantity: Quantity, spectrum: Spectrum) -> FloatArray:
    values = found.per_row / spectrum.values.size if quantity.per_value else found.per_row
    if not quantity.logarithm:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: FloatArray = np.log(values)
    return np.where(np.isfinite(logs), logs, np.nan)


def _log(values: FloatArray) -> FloatArray:
    """The logarithm; 0 of a zero."""
    return np.log(np.where(values > 0, values, 1.0))
