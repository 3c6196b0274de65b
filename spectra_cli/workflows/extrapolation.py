"""A single run's loss curve beyond its end, from its archive alone."""

from __future__ import annotations

from spectra_cli.analysis.forecast.extrapolation import Extrapolation, extrapolation_of
from spectra_cli.analysis.forecast.request import ForecastRequest, check_options
from spectra_cli.workflows.runs import open_runs


def extrapolate(request: ForecastRequest) -> Extrapolation:
    """The loss curve of the one run in `request.archives`, beyond its end.

    Raises:
        ArchiveError: the archive is missing or damaged.
        UsageError: options that contradict each other, or name what is not there.
        DataError: no loss, no positions, or too few checkpoints for a curve.
    """
    check_options(request)
    (run,) = open_runs(request.archives)
    return extrapolation_of(run, request)
