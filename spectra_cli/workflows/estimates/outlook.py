"""What a scan would do, how long it would take, and what fits into less time."""

from __future__ import annotations

from dataclasses import dataclass

from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.shown import Shown
from spectra_cli.workflows.estimates.proposals import Proposal, propose
from spectra_cli.workflows.estimates.scan_estimate import ScanEstimate, estimate
from spectra_cli.workflows.inspect import Inspection


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Outlook(Shown):
    """A scan before it starts.

    Attributes:
        inspection: the series and the plan for it.
        time: that it takes; None without a plan.
        proposals: scans that fit where the one asked for takes more than ten minutes.
    """

    inspection: Inspection
    time: ScanEstimate | None
    proposals: tuple[Proposal, ...]


def outlook(found: Inspection, selection: SeriesSelection) -> Outlook:
    """The time of an inspected scan, and what fits into less; `selection`: of checkpoints, as asked.

    Rates are measured, which takes about a second.
    """
    time = estimate(found)
    proposals = () if time is None else propose(found, time, selection)
    return Outlook(inspection=found, time=time, proposals=proposals)
