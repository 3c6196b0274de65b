"""One number in several runs at one aligned point, put together from comparisons with one baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.types import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrossRuns:
    """One number at one site in every run, at one aligned point.

    Attributes:
        site: in the first run's terms.
        target: loss, step or tokens at which the runs are aligned.
        runs: the number in each run; None, or a NaN, where it has none.
        margin: of equivalence, over the whole range of batch sizes, in the number's own unit.
    """

    measurement: str
    statistic: str
    site: Site
    target: float
    runs: tuple[Estimated | None, ...]
    margin: float


def across_runs(comparisons: Sequence[Sequence[SiteDifference]]) -> list[AcrossRuns]:
    """The numbers of the baseline, then of each other run, at every site and aligned point.

    Args:
        comparisons: of the baseline (as A) with each other run, in the order of the runs.

    Returns:
        In order of first appearance; distances, which belong to pairs of runs, are left out.
    """
    first: dict[tuple[str, str, Site, float], tuple[SiteDifference, Estimated]] = {}
    others: list[dict[tuple[str, str, Site, float], Estimated]] = []
    for differences in comparisons:
        own: dict[tuple[str, str, Site, float], Estimated] = {}
        for item in differences:
            if item.numbers is not None:
                key = (item.measurement, item.statistic, item.site, item.target)
                first.setdefault(key, (item, item.numbers[0]))
                own[key] = item.numbers[1]
        others.append(own)
    return [
        AcrossRuns(
            measurement=item.measurement,
            statistic=item.statistic,
            site=item.site,
            target=item.target,
            runs=(baseline, *(own.get(key) for own in others)),
            margin=item.found.margin,
        )
        for key, (item, baseline) in first.items()
    ]
