"""Statistics of places over the checkpoints of a run: what trajectories and heat maps are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENTS, measurement_words
from spectra_cli.core.process.behind import behind
from spectra_cli.core.types import CheckpointRef, CheckpointSpectra, Site, Spectrum, StatisticValue
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.statistics.jackknife import stack_with_replicates
from spectra_cli.statistics.noise_scale import GRADIENT_NOISE_SCALE, noise_scales
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import evaluate_alike

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    ACTIVATIONS: ("rankme_cov", "head_exponent_1_10", "tail_exponent_scaled"),
    GRADIENTS: ("rankme_cov", "head_exponent_1_10", GRADIENT_NOISE_SCALE.name),
}
_MOST_NUMBERS = 2**16  # at a time
OTHERS = ("stable_rank", "rankme_sv", "spectral_norm")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectories:
    """The values of statistics at every chosen checkpoint of a run.

    Attributes:
        refs: (n,) the checkpoints; places: (n,) theirs in the series.
        sites: at which there are any, by layer, in order; others: that are not among them, since `most` were
            taken.
        values: (statistic, site) -> (n,) values; None at a checkpoint that was not measured there.
    """

    refs: tuple[CheckpointRef, ...]
    places: tuple[int, ...]
    sites: tuple[Site, ...]
    others: tuple[Site, ...]
    values: Mapping[tuple[str, str], Sequence[StatisticValue | None]]

    def of(self, name: str, site: Site) -> Sequence[StatisticValue | None]:
        """(n,) of one statistic at one site."""
        return self.values.get((name, site.address), [None] * len(self.refs))


def statistics_of(request: PlotRequest, measurement: str) -> tuple[str, ...]:
    """The statistics that are asked for, or those that a measurement is drawn by.

    Raises:
        UsageError: a name is no statistic of it.
    """
    asked = request.statistics or DEFAULTS.get(measurement, OTHERS)
    for name in asked:
        if name not in DEFINITIONS:
            raise UnknownNameError(
                f"--statistic {name}: nothing is called so{did_you_mean(name, DEFINITIONS)}. "
                f"Known: {', '.join(DEFINITIONS)}"
            )
        of = STATISTICS[name].measurements if name in STATISTICS else (GRADIENTS,)
        if measurement not in of:
            raise UsageError(
                f"--statistic {name} is of {', '.join(map(measurement_words, of))}, not of "
                f"{measurement_words(measurement)}"
            )
    return asked


def trajectories(
    run: Run, names: Sequence[str], measurement: str, request: PlotRequest, *, most: int | None
) -> Trajectories:
    """The statistics of the places that are meant, at every checkpoint that is meant.

    Args:
        most: places, where neither layers nor matrices are asked for; None for all.

    Raises:
        UsageError: a layer or matrix that the run does not hold.
    """
    places = request.places(run)
    values: dict[tuple[str, str], list[StatisticValue | None]] = {}
    sites: dict[str, Site] = {}
    every: dict[str, Site] = {}
    refs = []

    def measured(
        checkpoint: CheckpointSpectra,
    ) -> tuple[CheckpointRef, Mapping[str, Site], Mapping[str, Site], list[StatisticValue]]:
        held, wanted = (
            {one.site.address: one.site for one in request.spectra(checkpoint, measurement, most=number)}
            for number in (None, most)
        )
        return checkpoint.ref, held, wanted, list(_values(checkpoint, measurement, wanted, names))

    read = run.series.checkpoints(places, vectors=False, measurements=[measurement])
    for number, (ref, held, wanted, found) in enumerate(behind(measured, read)):
        refs.append(ref)
        sites |= wanted
        every |= held
        for value in found:
            if value.site is None:
                continue
            series = values.setdefault((value.name, value.site.address), [])
            series += [None] * (number - len(series))
            series.append(value)
    for series in values.values():
        series += [None] * (len(places) - len(series))
    ordered = sorted(
        sites.values(), key=lambda site: (site.component, -1 if site.layer is None else site.layer)
    )
    others = tuple(site for address, site in every.items() if address not in sites)
    return Trajectories(
        refs=tuple(refs), places=tuple(places), sites=tuple(ordered), others=others, values=values
    )


def _values(
    checkpoint: CheckpointSpectra, measurement: str, wanted: Mapping[str, Site], names: Sequence[str]
) -> Iterator[StatisticValue]:
    """The statistics of some sites: those of `summarise` without details, of spectra alike at once."""
    step = checkpoint.ref.step
    if GRADIENT_NOISE_SCALE.name in names and measurement == GRADIENTS:
        scales = noise_scales(checkpoint.scalars, step=step)
        yield from (one for one in scales if one.site is not None and one.site.address in wanted)
    alike: dict[tuple[int, tuple[int, ...], bool], list[Spectrum]] = {}
    for one in checkpoint.select(measurement):
        if one.site.address in wanted:
            has_profile = one.block_profile is not None
            alike.setdefault((one.values.size, one.block_sizes, has_profile), []).append(one)
    for spectra in (part for group in alike.values() for part in in_cache(group)):
        stack = stack_with_replicates(spectra)
        for statistic in (STATISTICS[name] for name in names if name in STATISTICS):
            if measurement in statistic.measurements:
                yield from evaluate_alike(statistic, spectra, stack, step=step)


def in_cache(spectra: Sequence[Spectrum]) -> Iterator[Sequence[Spectrum]]:
    """Spectra in parts whose rows stay in the cache: arrays of many MiB cost their pages anew each time."""
    size = (1 + len(spectra[0].block_sizes)) * spectra[0].values.size
    several = max(1, _MOST_NUMBERS // size)
    return (spectra[start : start + several] for start in range(0, len(spectra), several))
