"""All differences of two runs at one aligned point: numbers, and distances between whole spectra.

See docs/explanation/comparing.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spectra_cli.analysis.compare.aligned.points import NumberAt, Point, log_noise_scales
from spectra_cli.analysis.compare.aligned.spectra_at import (
    SpectraAt,
    alike,
    arounds,
    by_place,
    place_of,
    spectra_at,
    why_not_between,
)
from spectra_cli.analysis.compare.decisions import Case, Difference, Verdict, decide, differences
from spectra_cli.analysis.compare.distances.spectra import distances
from spectra_cli.analysis.compare.quantities import (
    DISTANCES,
    LOG_NOISE_SCALE,
    is_distance,
    margin_of,
    plain_name,
    quantities,
)
from spectra_cli.analysis.compare.sites import SitePair, site_pairs
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.measurements import EXACT, GRADIENTS
from spectra_cli.core.types import Site

NO_NOISE = "measured exactly: the probe puts no noise on it, so that there is no noise floor"
NO_BLOCKS = "no standard error: no values without each block of the probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDifference:
    """One number at one place between two runs, at one aligned point.

    Attributes:
        measurement: name of the measurement.
        statistic: what is compared: a statistic of the registry, `log_` before it where its logarithm is,
            or a distance.
        site: in A; `other`: in B, another one only where the models' depths differ.
        target: loss, step or tokens at which the runs are compared.
        found: B minus A; of a distance, how far B is from A, with no number of A and B of its own.
        reason: why there is no number, or no standard error, or what limits it; empty otherwise.
        numbers: of A and of B, with their delete-one-block values; None for a distance.
    """

    measurement: str
    statistic: str
    site: Site
    other: Site
    target: float
    found: Difference
    reason: str = ""
    numbers: tuple[Estimated, Estimated] | None = field(default=None, repr=False, compare=False)

    @property
    def is_distance(self) -> bool:
        """Whether the number is a distance: without a sign."""
        return is_distance(self.statistic)

    @property
    def floor_is(self) -> str:
        """What stands as the noise floor: of a distance, what equal models stay below."""
        return "95 % quantile" if self.is_distance else "standard error"

    @property
    def interpolated(self) -> float:
        """What interpolation between checkpoints, in both runs, may have added to the difference."""
        return self.found.interpolated

    @property
    def z(self) -> float:
        """The difference in standard errors; NaN without one."""
        found = self.found
        if found.stderr == 0.0:
            return 0.0 if found.delta == 0.0 else math.copysign(math.inf, found.delta)
        return found.delta / found.stderr

    @property
    def is_different(self) -> bool:
        """Whether it exceeds the noise, after the correction."""
        return self.found.verdict is Verdict.DIFFERENT

    @property
    def standing(self) -> str:
        """The verdict; `exact` for what is measured without a probe, `missing` where there is no number."""
        if not math.isfinite(self.found.delta):
            return "missing"
        return "exact" if self.measurement in EXACT else self.found.verdict.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user wants compared; None for all, or for the default ones.

    Attributes:
        measurements: names of measurements.
        statistics: names of statistics and distances.
        layers: of A.
    """

    measurements: tuple[str, ...] | None = None
    statistics: tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = None

    def wants(self, site: Site, measurement: str) -> bool:
        """Whether a place and a measurement are among the chosen ones."""
        return (self.layers is None or site.layer in self.layers) and (
            self.measurements is None or measurement in self.measurements
        )

    def names(self, statistic: str) -> bool:
        """Whether a statistic that is compared by default, or a distance, is among the chosen ones."""
        return self.statistics is None or plain_name(statistic) in map(plain_name, self.statistics)

    def names_distance(self, name: str, measurement: str) -> bool:
        """Whether a distance is among the chosen ones; of weights, which have no floor, only if asked for."""
        return self.names(name) and not (measurement in EXACT and self.statistics is None)


def differences_at(
    first: Point, second: Point, *, target: float, paired: bool, choice: Choice | None = None
) -> list[SiteDifference]:
    """Every difference of two runs at one aligned point, B minus A; not decided yet, see `decided`.

    Args:
        first, second: A and B at the point.
        target: loss, step or tokens of the point.
        paired: both were measured on the same probe, so that its noise is common to both.
        choice: what to compare.

    Returns:
        By place and number; a number that one of the runs does not have is NaN, with a reason.
    """
    choice = choice or Choice()
    ours, theirs = arounds(first), arounds(second)
    scales = [log_noise_scales(p) if choice.names(LOG_NOISE_SCALE) else {} for p in (first, second)]
    pairs = [
        pair
        for pair in site_pairs(first.before, second.before)
        if choice.wants(pair.first.site, pair.first.measurement)
        and place_of(pair.first) in ours
        and place_of(pair.second) in theirs
    ]
    spectra = [(ours[place_of(pair.first)], theirs[place_of(pair.second)]) for pair in pairs]
    found: dict[int, list[SiteDifference]] = {}
    for chosen in alike(spectra):
        together = _Together(
            pairs=[pairs[i] for i in chosen],
            first=spectra_at(first, [spectra[i][0] for i in chosen]),
            second=spectra_at(second, [spectra[i][1] for i in chosen]),
            target=target,
            paired=paired,
        )
        found |= zip(chosen, together.differences(choice, scales), strict=True)
    return [one for place in range(len(pairs)) for one in found[place]]


def decided(found: Sequence[SiteDifference]) -> list[SiteDifference]:
    """The same differences with verdicts, corrected for the number of all of them."""
    verdicts = decide([one.found for one in found])
    return [
        SiteDifference(
            measurement=one.measurement,
            statistic=one.statistic,
            site=one.site,
            other=one.other,
            target=one.target,
            found=verdict,
            reason=one.reason,
            numbers=one.numbers,
        )
        for one, verdict in zip(found, verdicts, strict=True)
    ]


# place among those that are alike, name, margin, in A, in B
_Number = tuple[int, str, float, NumberAt, NumberAt]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Together:
    """Places of two runs at one point whose spectra are alike."""

    pairs: Sequence[SitePair]
    first: SpectraAt
    second: SpectraAt
    target: float
    paired: bool

    @property
    def measurement(self) -> str:
        return self.first.some.measurement

    def differences(
        self, choice: Choice, scales: Sequence[Mapping[Site, NumberAt]]
    ) -> list[list[SiteDifference]]:
        """At each place, the numbers, then the distances."""
        numbers: list[_Number] = []
        for q in quantities(self.first.some, self.second.some, choice.statistics):
            both = zip(self.first.numbers(q), self.second.numbers(q), strict=True)
            numbers += [(i, q.name, q.margin, a, b) for i, (a, b) in enumerate(both)]
        if self.measurement == GRADIENTS:
            for i, pair in enumerate(self.pairs):
                x, y = scales[0].get(pair.first.site), scales[1].get(pair.second.site)
                if x is not None and y is not None:
                    numbers.append((i, LOG_NOISE_SCALE, margin_of(LOG_NOISE_SCALE), x, y))
        found: list[list[SiteDifference]] = [[] for _ in self.pairs]
        judged = differences([self._case(a.estimated, b.estimated, margin) for _, _, margin, a, b in numbers])
        for (i, name, _, a, b), one in zip(numbers, judged, strict=True):
            found[i].append(self._number(self.pairs[i], name, one, a, b))
        wanted = [name for name in DISTANCES if choice.names_distance(name, self.measurement)]
        of_sites = distances(self.first, self.second, wanted, paired=self.paired)
        for here, pair, apart in zip(found, self.pairs, of_sites, strict=True):
            here += [self._difference(pair, *one) for one in apart]
        return found

    def _number(
        self, pair: SitePair, name: str, found: Difference, a: NumberAt, b: NumberAt
    ) -> SiteDifference:
        numbers = ("A", a), ("B", b)
        why = [f"{run}: {number.reason}" for run, number in numbers if number.reason]
        if math.isfinite(found.delta) and math.isnan(found.stderr) and self.measurement not in EXACT:
            why += [f"{run}: {none}" for run, number in numbers if (none := _no_error(number.estimated))]
        return self._difference(pair, name, found, "; ".join(why), (a.estimated, b.estimated))

    def _case(self, a: Estimated, b: Estimated, margin: float) -> Case:
        return Case(first=a, second=b, paired=self.paired and a.block_sizes == b.block_sizes, margin=margin)

    def _difference(
        self,
        pair: SitePair,
        name: str,
        found: Difference,
        reason: str,
        numbers: tuple[Estimated, Estimated] | None = None,
    ) -> SiteDifference:
        exact = self.measurement in EXACT and math.isfinite(found.delta)
        return SiteDifference(
            measurement=self.measurement,
            statistic=name,
            site=pair.first.site,
            other=pair.second.site,
            target=self.target,
            found=found,
            reason="; ".join(filter(None, (reason, NO_NOISE if exact else ""))),
            numbers=numbers,
        )


def _no_error(number: Estimated) -> str:
    """Why a number has no standard error; empty where it has one."""
    if len(number.block_sizes) < 2:
        return NO_BLOCKS
    undefined = int(np.isnan(number.per_row).sum())
    without = f"{undefined} of the {len(number.block_sizes)} blocks of its probe"
    return f"no standard error: the number does not exist without {without}" if undefined else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLeftOut:
    """A spectrum that is not compared.

    Attributes:
        of_second: whether it is of B.
        site: in its own run; reason: why, after the name of the run.
    """

    of_second: bool
    measurement: str
    site: Site
    reason: str


def left_out(first: Point, second: Point, choice: Choice) -> Iterator[SiteLeftOut]:
    """Spectra of the measurements and layers that are compared, without a number at this point."""
    pairs = list(site_pairs(first.before, second.before))
    for of_second, point in ((False, first), (True, second)):
        own = [pair.second if of_second else pair.first for pair in pairs]
        paired, later = set(map(id, own)), by_place(point.after)
        for one in point.before.spectra:
            alone = id(one) not in paired
            why = "the other run has none there" if alone else ""
            why = why or why_not_between(one, later.get(place_of(one)))
            if why and choice.wants(one.site, one.measurement):
                yield SiteLeftOut(of_second=of_second, measurement=one.measurement, site=one.site, reason=why)
