"""A forecast of several runs, or the loss curve of one beyond its end, from their archives alone."""

from __future__ import annotations

from spectra_cli.analysis.forecast.extrapolation import Extrapolation, extrapolation_of
from spectra_cli.analysis.forecast.over_runs import Forecast, forecast_of
from spectra_cli.analysis.forecast.request import ForecastRequest, check_options, is_of_gradients
from spectra_cli.core.errors import NotComparableError
from spectra_cli.workflows.runs import differing_scans, open_runs


def forecast(request: ForecastRequest) -> Forecast:
    """The tokens that each run needs to a loss, from all of them together.

    Raises:
        ArchiveError: an archive is missing or damaged.
        UsageError: options that contradict each other, or name what is not there.
        DataError: no loss or no positions, or runs that were not measured alike.
    """
    check_options(request)
    opened = open_runs(
        [*request.archives, *request.new],
        so="a run counts once; leave one of them out",
        measured_alike=False,
    )
    differences = differing_scans(opened, of_gradients=is_of_gradients(request.statistic))
    if differences and not request.allow_different_scans:
        raise NotComparableError(
            f"the runs were not measured alike ({'; '.join(differences)}), so that their spectra differ by "
            "the measurement. Scan them with the same settings and probe, or give --allow-different-scans."
        )
    return forecast_of(opened, request, num_known=len(request.archives), differences=differences)


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
