"""The trend with batch size of every number that compared runs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectra_cli.analysis.batch_size.across_runs import across_runs
from spectra_cli.analysis.batch_size.trend import BatchTrend, batch_trends, caveats, why_no_trend
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizeTrend:
    """The trends, or why there are none.

    Attributes:
        trends: of every number at every point; empty where there are none.
        reason: why there are none; empty otherwise.
        caveats: what else they may be.
    """

    trends: tuple[BatchTrend, ...] = ()
    reason: str = ""
    caveats: tuple[str, ...] = ()


def batch_size_trend(
    runs: Sequence[Run], comparisons: Sequence[Sequence[SiteDifference]], *, paired: bool
) -> BatchSizeTrend:
    """The trend of every number over runs that differ in batch size.

    Args:
        runs: the baseline first.
        comparisons: of the baseline with each of the others.
        paired: all saw the same probe.
    """
    sizes = [run.batch_size_tokens for run in runs]
    if len(runs) < 3:
        return BatchSizeTrend()
    if why := why_no_trend(sizes):
        return BatchSizeTrend(reason=why)
    known = [size for size in sizes if size is not None]
    return BatchSizeTrend(
        trends=tuple(batch_trends(across_runs(comparisons), known, paired=paired)),
        caveats=caveats([run.infos[-1] for run in runs]),
    )
