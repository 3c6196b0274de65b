"""Spectra of a run at an aligned point, those that are alike together, with their delete-one-block rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectra_cli.analysis.compare.aligned.points import NumberAt, Point, interpolated, nothing
from spectra_cli.analysis.compare.quantities import Quantity, tail_window
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Site, Spectrum
from spectra_cli.statistics.jackknife import stack_with_replicates, standard_error
from spectra_cli.statistics.statistic import Estimate, estimates

BoolArray = NDArray[np.bool_]


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
        for place, (one, known) in enumerate(zip(self.sites, self.bends(spectra), strict=True)):
            if known and one.third is not None:
                third = log_or_zero(one.third.eigenvalues())
                bend[place] = point.bend(before[:, place], after[:, place], third)
        bent = spectra * np.exp(np.where(positive, bend, 0.0))
        if self.with_loss or not point.moves:
            return spectra, bent
        off = point.slope(before, after) * standard_error(point.loss_noise, point.loss_sizes)
        return spectra * np.exp(-np.where(positive, off, 0.0)), bent


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


# Of one array of the sites' rows; a dozen such arrays are in use at once, and a core's cache holds some.
_CACHE_BYTES = 2**19


def alike(pairs: Sequence[tuple[Around, Around]]) -> Iterator[list[int]]:
    """Places of pairs, of A and of B, whose spectra differ in nothing but their values.

    They have one measurement, as many values, dimensions and samples, the same blocks and the same window of
    the tail. No more come at once than a core's cache has room for.
    """
    kinds: dict[tuple[object, ...], list[int]] = {}
    for place, (first, second) in enumerate(pairs):
        kind = first.before.measurement, *_kind(first.before), *_kind(second.before)
        kinds.setdefault(kind, []).append(place)
    for places in kinds.values():
        spectra = [one.before for one in pairs[places[0]]]
        row_bytes = 8 * max(one.values.size * (1 + len(one.block_sizes)) for one in spectra)
        at_once = max(1, _CACHE_BYTES // row_bytes)
        for start in range(0, len(places), at_once):
            yield places[start : start + at_once]


def _kind(spectrum: Spectrum) -> tuple[object, ...]:
    return (
        spectrum.kind,
        spectrum.values.size,
        spectrum.ambient_dim,
        spectrum.num_samples,
        spectrum.block_sizes,
        spectrum.block_profile is None,
        tail_window(spectrum),
    )
