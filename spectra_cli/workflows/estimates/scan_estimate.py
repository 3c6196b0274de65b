"""How long a scan will take, from what its checkpoints need and what this machine was just seen to do."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectra_cli.workflows.inspect import Inspection

if TYPE_CHECKING:
    from spectra_cli.core.settings import ScanSettings
    from spectra_cli.extract.planning.plan import ScanPlan
    from spectra_cli.extract.planning.rates import Rates
    from spectra_cli.workflows.inspect import Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEstimate:
    """Seconds of one checkpoint, by part, the longest first; the command's own start is left out.

    Attributes:
        parts: part -> seconds.
        num_checkpoints: of the scan, those that can be measured.
        rates: that it was worked out with.
    """

    parts: Mapping[str, float]
    num_checkpoints: int
    rates: Rates

    @property
    def seconds(self) -> float:
        """Of one checkpoint."""
        return sum(self.parts.values())

    @property
    def seconds_of_all(self) -> float:
        """Of the whole series."""
        return self.num_checkpoints * self.seconds


def estimate(found: Inspection) -> ScanEstimate | None:
    """The time of the scan as planned; None without a plan. Measuring rates takes about a second."""
    from spectra_cli.extract.planning.rates import measure_rates
    from spectra_cli.extract.series.opened import build_skeleton

    planned = found.planned
    if planned is None:
        return None
    series = planned.series
    started = time.perf_counter()
    build_skeleton(series.first, series.builder)
    of_a_model = time.perf_counter() - started
    rates = measure_rates(series.skeleton, planned.settings, planned.plan, seconds_of_a_model=of_a_model)
    return ScanEstimate(
        parts=seconds_by_part(planned, planned.settings, planned.plan, rates),
        num_checkpoints=sum(not outline.problem for outline in found.checkpoints),
        rates=rates,
    )


def seconds_by_part(
    planned: Planned, settings: ScanSettings, plan: ScanPlan, rates: Rates
) -> dict[str, float]:
    """Part -> seconds of one checkpoint of the series with these settings, the longest first."""
    from spectra_cli.extract.planning.cost import PARTS, scan_work

    series = planned.series
    work = scan_work(series.skeleton, settings, plan, num_bytes=series.first.num_bytes)
    parts: dict[str, float] = defaultdict(float)
    for kind, seconds in rates.of(work).items():
        parts[PARTS[kind]] += seconds
    return dict(sorted(parts.items(), key=lambda part: -part[1]))
