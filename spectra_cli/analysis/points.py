"""A run at an aligned point: its spectra and numbers, interpolated between two checkpoints.

Everything comes with its delete-one-block values, so that a difference of two points has the standard
error of a single one. Where the runs are aligned on a loss that was measured on the same probe, that loss
has the probe's noise too: without a block the point itself moves, and every number with it. Source: specs E1,
with the bend of a number through a third checkpoint as what interpolation may have got wrong: the specs'
distance to the nearer checkpoint is the slope of the number, which interpolation takes off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spectra_cli.analysis.decisions import Estimated
from spectra_cli.analysis.matching import Bracket
from spectra_cli.analysis.quantities import Quantity
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Provenance, Scalar, Site, Spectrum
from spectra_cli.statistics.jackknife import stack_with_replicates, standard_error
from spectra_cli.statistics.noise_scale import NOISE, SIGNAL, noise_scale_rows
from spectra_cli.statistics.statistic import ACTIVATIONS, GRADIENT_MATRIX, GRADIENTS, Estimate, estimates

# setting of the scan that says of how many sequences a measurement is made
_SEQUENCES = {
    ACTIVATIONS: "num_sequences",
    GRADIENTS: "num_gradient_sequences",
    GRADIENT_MATRIX: "num_gradient_sequences",
}
BoolArray = NDArray[np.bool_]
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
class Around:
    """A spectrum at the checkpoints of a point; the third is None where it is of another size, or missing."""

    before: Spectrum
    after: Spectrum
    third: Spectrum | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectraAt:
    """Spectra of a run at a point that are worked out together, at S sites.

    They are of one measurement and have as many values, K, and the same blocks.

    Attributes:
        sites: (S,) each spectrum at the checkpoints of the point.
        rows_before, rows_after: (S, 1 + B, K) with the delete-one-block rows.
        with_loss: the blocks are those of the loss.
    """

    point: Point
    sites: Sequence[Around]
    rows_before: FloatArray
    rows_after: FloatArray
    with_loss: bool

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Samples in each block."""
        return self.some.block_sizes

    @property
    def some(self) -> Spectrum:
        """One of the spectra, for what they have in common."""
        return self.sites[0].before

    def numbers(self, quantity: Quantity) -> list[NumberAt]:
        """(S,) a statistic of each spectrum at the point."""
        ends = [estimates(quantity.statistic, [one.before for one in self.sites], self.rows_before)]
        if self.point.after is not self.point.before:
            ends.append(estimates(quantity.statistic, [one.after for one in self.sites], self.rows_after))
        there = [one.third for one in self.sites if one.third is not None]
        rows = np.array([one.eigenvalues()[None] for one in there])
        third = iter(estimates(quantity.statistic, there, rows) if there else ())
        return [
            self._number(quantity, found, None if one.third is None else next(third))
            for one, *found in zip(self.sites, *ends, strict=True)
        ]

    def _number(self, quantity: Quantity, ends: Sequence[Estimate], third: Estimate | None) -> NumberAt:
        for one in ends:
            if not one.status.has_value:
                return NumberAt(estimated=nothing(self.block_sizes), reason=one.reason)
        width = self.some.values.size
        rows = [_as_compared(one, quantity, width) for one in ends]
        known = third is not None and third.status.has_value
        number = interpolated(
            self.point,
            rows[0],
            rows[-1],
            _as_compared(third, quantity, width)[0] if third is not None and known else None,
            self.block_sizes if rows[0].size > 1 else (),
            with_loss=self.with_loss,
        )
        return NumberAt(estimated=number, reason=next((one.reason for one in ends if one.reason), ""))

    def eigenvalues(self) -> FloatArray:
        """(S, 1 + B, K) the whole spectra at the point, interpolated in their logarithm."""
        if self.point.before is self.point.after:
            return self.rows_before
        before, after = self.rows_before, self.rows_after
        ends = [log_or_zero(one).swapaxes(0, 1) for one in (before, after)]
        found: FloatArray = np.exp(self.point.interpolate(*ends, with_loss=self.with_loss).swapaxes(0, 1))
        found[(before <= 0) | (after <= 0)] = 0.0
        return found

    def bends(self, spectra: FloatArray) -> BoolArray:
        """(S,) whether the third checkpoint shows how each spectrum, (S, K), bends, or nothing can."""
        if self.point.before is self.point.after or self.point.bracket.share in (0.0, 1.0):
            return np.ones(len(self.sites), dtype=bool)
        return np.array(
            [
                one.third is not None and bool((one.third.eigenvalues()[own > 0] > 0).all())
                for one, own in zip(self.sites, spectra, strict=True)
            ]
        )

    def elsewhere(self, spectra: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The spectra of the whole probe, (S, K), where the loss is off by a standard error, and bent.

        The first are the same where the blocks of the loss are the spectra's own, whose rows have its noise.
        """
        if self.point.before is self.point.after:
            return spectra, spectra
        point, positive = self.point, spectra > 0
        # the whole probe alone: (1, S, K)
        before, after = (
            log_or_zero(one[:, :1]).swapaxes(0, 1) for one in (self.rows_before, self.rows_after)
        )
        bend = point.bend(before, after, None)
        known = np.flatnonzero(self.bends(spectra)).tolist()
        thirds = [self.sites[place].third for place in known]
        there = np.array([log_or_zero(one.eigenvalues()) for one in thirds if one is not None])
        if there.size:
            bend[known] = point.bend(before[:, known], after[:, known], there)
        bent = spectra * np.exp(np.where(positive, bend, 0.0))
        if self.with_loss or not point.moves:
            return spectra, bent
        off = point.slope(before, after) * standard_error(point.loss_noise, point.loss_sizes)
        return spectra * np.exp(-np.where(positive, off, 0.0)), bent


def nothing(block_sizes: tuple[int, ...]) -> Estimated:
    """A number that does not exist."""
    return Estimated(per_row=np.full(1 + len(block_sizes), np.nan), block_sizes=block_sizes)


def place_of(spectrum: Spectrum) -> tuple[str, Site]:
    """Measurement and place, by which a spectrum is found at other checkpoints."""
    return spectrum.measurement, spectrum.site


def by_place(checkpoint: CheckpointSpectra) -> dict[tuple[str, Site], Spectrum]:
    """The spectra of a checkpoint."""
    return {place_of(spectrum): spectrum for spectrum in checkpoint.spectra}


def why_not_between(before: Spectrum, after: Spectrum | None) -> str:
    """Why a spectrum of the earlier checkpoint is not interpolated with the same of the later; or empty."""
    if after is None:
        return "it was measured at only one of the checkpoints around it"
    if after.block_sizes != before.block_sizes or after.values.size != before.values.size:
        return "the checkpoints around it have other numbers of samples, or values, there"
    return ""


def arounds(point: Point) -> dict[tuple[str, Site], Around]:
    """The spectra of the earlier checkpoint with those of the others; without those the later has none of."""
    later, third = by_place(point.after), {} if point.third is None else by_place(point.third)
    found = {}
    for key, before in by_place(point.before).items():
        after, beyond = later.get(key), third.get(key)
        if after is not None and not why_not_between(before, after):
            alike = beyond is not None and beyond.values.size == before.values.size
            found[key] = Around(before=before, after=after, third=beyond if alike else None)
    return found


def spectra_at(point: Point, sites: Sequence[Around]) -> SpectraAt:
    """Spectra that have as many values, and the same blocks."""
    rows = stack_with_replicates([one.before for one in sites])
    same = point.before is point.after
    return SpectraAt(
        point=point,
        sites=sites,
        rows_before=rows,
        rows_after=rows if same else stack_with_replicates([one.after for one in sites]),
        with_loss=point.moves and point.has_blocks_of(sites[0].before.measurement),
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


def _as_compared(found: Estimate, quantity: Quantity, width: int) -> FloatArray:
    # numbers without delete-one-block values, such as the effective rows a dimension, have the value alone
    rows = found.per_row if found.per_row.size else np.array([found.value])
    values = rows / width if quantity.per_value else rows
    if not quantity.logarithm:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: FloatArray = np.log(values)
    return np.where(np.isfinite(logs), logs, np.nan)


def log_or_zero(values: FloatArray) -> FloatArray:
    """The logarithm; 0 of a zero, for sums of `x log x`, where nothing counts as nothing."""
    positive = values > 0
    logs: FloatArray = np.log(values if positive.all() else np.where(positive, values, 1.0))
    return logs
