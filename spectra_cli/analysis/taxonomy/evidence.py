"""What many decided differences say together: moved, equal or inconclusive, by counting sites.

A statistic has moved if it differs in at least half of the sites with a common sign; a site without a number
counts as one where it was not shown to. The evidence has moved
if two of its statistics have (its one, where it has one); it is equal if in three quarters of the sites all
its statistics passed equivalence. Anything else is inconclusive, with the floor that was not beaten and the
size of a probe that would decide.

See docs/explanation/comparing.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from spectra_cli.analysis.compare.decisions import (
    FALSE_DISCOVERY_RATE,
    Difference,
    Verdict,
    sequences_to_differ,
    sequences_to_equal,
)
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.quantities import is_distance, plain_name
from spectra_cli.analysis.taxonomy.seed_noise import SeedNoise

MOVED_SHARE = 0.5
EQUAL_SHARE = 0.75
MOVED_STATISTICS = 2


class Flag(StrEnum):
    """What one kind of evidence says."""

    MOVED = "moved"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not measured"


class Obstacle(StrEnum):
    """Why a site shows no difference, in the order in which they are asked for."""

    NO_ERROR = "no standard error"
    INTERPOLATION = "interpolation between checkpoints"
    NOISE = "noise of this comparison"
    PROBE = "probe floor"
    SEEDS = "replicate floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One statistic over all sites.

    Attributes:
        statistic: as it is compared (`log_` before it where its logarithm is).
        num_sites: that were looked at, also where this statistic has no number.
        risen, fallen: addresses where B is larger, smaller, than A (distances only rise).
        num_equal, num_undecided: sites; what is left has no number.
        obstacles: at the undecided sites: what kept the difference from counting -> how often.
        delta, stderr, floor, margin: medians over the sites with a number.
        seed_floor: that the sites were held against; NaN without replicates.
        sequences_to_differ: probe at which a difference of this size would count, median over the
            undecided sites; None without any, and for distances, which shrink with the noise.
        sequences_to_equal: probe at which its interval would fit into the margin; None where it is
            larger than the margin, without undecided sites, and for distances.
    """

    statistic: str
    num_sites: int
    risen: tuple[str, ...]
    fallen: tuple[str, ...]
    num_equal: int
    num_undecided: int
    obstacles: Mapping[Obstacle, int]
    delta: float
    stderr: float
    floor: float
    seed_floor: float
    margin: float
    sequences_to_differ: int | None
    sequences_to_equal: int | None

    @property
    def has_moved(self) -> bool:
        """Whether it differs in enough sites, most of them with one sign."""
        most, least = sorted((len(self.risen), len(self.fallen)), reverse=True)
        return most >= MOVED_SHARE * self.num_sites and most > least

    @property
    def num_missing(self) -> int:
        """Sites of the evidence without a number of this statistic."""
        return self.num_sites - len(self.risen) - len(self.fallen) - self.num_equal - self.num_undecided


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagEvidence:
    """One kind of evidence.

    Attributes:
        statistics: each over the sites, also those without any number.
        layers: where some statistic has a number.
        num_sites: that were looked at.
        num_all_equal: sites where every statistic passed equivalence.
    """

    flag: Flag
    measurement: str
    statistics: tuple[Counted, ...]
    layers: tuple[int, ...]
    num_sites: int
    num_all_equal: int


def gather(
    differences: Iterable[SiteDifference],
    measurement: str,
    statistics: Sequence[str],
    *,
    num_sequences: int,
    seeds: SeedNoise | None = None,
) -> FlagEvidence:
    """The evidence of some statistics of one measurement, at one aligned point.

    Args:
        differences: decided ones; others are passed over.
        measurement, statistics: what counts, by names of the registry and of distances.
        num_sequences: that the measurement was made of.
        seeds: noise of the recipe; then the verdicts are about recipes.
    """
    found: dict[str, dict[str, SiteDifference]] = {name: {} for name in statistics}
    for item in differences:
        by_site = found.get(plain_name(item.statistic))
        if by_site is not None and item.measurement == measurement and item.site.layer is not None:
            by_site[item.site.address] = item
    sites = tuple(dict.fromkeys(address for by_site in found.values() for address in by_site))
    verdicts = {
        name: {a: i.found.verdict if seeds is None else seeds.verdict(i) for a, i in by_site.items()}
        for name, by_site in found.items()
    }
    num_all_equal = sum(all(v.get(site) is Verdict.EQUAL for v in verdicts.values()) for site in sites)
    counted = tuple(
        _counted(name, len(sites), tuple(found[name].values()), verdicts[name], num_sequences, seeds)
        for name in statistics
    )
    known = [i for by_site in found.values() for i in by_site.values() if math.isfinite(i.found.delta)]
    return FlagEvidence(
        flag=_flag(counted, len(sites), num_all_equal) if known else Flag.NOT_MEASURED,
        measurement=measurement,
        statistics=counted,
        layers=tuple(sorted({item.site.layer or 0 for item in known})),
        num_sites=len(sites),
        num_all_equal=num_all_equal,
    )


def _flag(counted: Sequence[Counted], num_sites: int, num_all_equal: int) -> Flag:
    if sum(c.has_moved for c in counted) >= min(MOVED_STATISTICS, len(counted)):
        return Flag.MOVED
    return Flag.EQUAL if num_all_equal >= EQUAL_SHARE * num_sites else Flag.INCONCLUSIVE


def _counted(
    statistic: str,
    num_sites: int,
    items: Sequence[SiteDifference],
    verdicts: Mapping[str, Verdict],
    num_sequences: int,
    seeds: SeedNoise | None,
) -> Counted:
    items = [item for item in items if math.isfinite(item.found.delta)]
    found = [item.found for item in items]
    different = [i for i in items if verdicts[i.site.address] is Verdict.DIFFERENT]
    undecided = [i.found for i in items if verdicts[i.site.address] is Verdict.INCONCLUSIVE]
    obstacles = [_obstacle(d) for d in undecided]
    # the distance of two noisy spectra falls as their noise does: no size of it to go by
    to_go_by = [] if is_distance(statistic) else undecided
    seed_floor = math.nan
    if seeds is not None and items:
        seed_floor = seeds.floor(items[0].measurement, items[0].statistic)
    return Counted(
        statistic=items[0].statistic if items else statistic,
        num_sites=num_sites,
        risen=tuple(i.site.address for i in different if i.found.delta > 0),
        fallen=tuple(i.site.address for i in different if i.found.delta < 0),
        num_equal=sum(verdicts[i.site.address] is Verdict.EQUAL for i in items),
        num_undecided=len(undecided),
        obstacles={kind: obstacles.count(kind) for kind in Obstacle if kind in obstacles},
        delta=_median(d.delta for d in found),
        stderr=_median(d.stderr for d in found),
        floor=_median(d.floor for d in found),
        seed_floor=seed_floor,
        margin=_median(d.margin for d in found),
        sequences_to_differ=_middle(sequences_to_differ(d, num_sequences) for d in to_go_by),
        sequences_to_equal=_middle(sequences_to_equal(d, num_sequences) for d in to_go_by),
    )


def _obstacle(found: Difference) -> Obstacle:
    if math.isnan(found.adjusted):
        return Obstacle.NO_ERROR
    if found.adjusted > FALSE_DISCOVERY_RATE:
        within = abs(found.delta) <= found.interpolated and found.interpolated > 0.0
        return Obstacle.INTERPOLATION if within else Obstacle.NOISE
    return Obstacle.PROBE if found.verdict is not Verdict.DIFFERENT else Obstacle.SEEDS


def _median(numbers: Iterable[float]) -> float:
    known = [number for number in numbers if math.isfinite(number)]
    return float(np.median(known)) if known else math.nan


def _middle(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return math.ceil(float(np.median(known))) if known else None
