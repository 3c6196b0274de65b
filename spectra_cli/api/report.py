"""`spectra.report`: one page that says what changed inside, and shows it."""

from __future__ import annotations

from pathlib import Path

from spectra_cli.analysis.run import Axis, Loss
from spectra_cli.core.errors import UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.written import Report, write_report


def report(
    *archives: AnyPath,
    output: AnyPath = "report.html",
    align: str = "loss",
    loss: str | None = None,
    at: float | None = None,
    overwrite: bool = False,
) -> Report:
    """Write one page that says what changed inside, shows it, and lets its reader look.

    The page opens in any browser by itself: nothing is fetched.

    Args:
        archives: archives, or the checkpoint folders that were scanned.
        output: the page to write.
        align: what to make equal between runs: `loss`, `step` or `tokens`; loss: which, as in `compare`; at:
            where, instead of its five points.
        overwrite: replace what is there.

    Raises:
        UsageError: no archives, two of the same run, or a page that is there already.
        ArchiveError: there is no such archive, or it is damaged.
        DataError: the page cannot be written.
    """
    if not archives:
        raise UsageError("of which archives? Give their paths, or the folders that were scanned")
    request = PlotRequest(
        runs=archives,
        align=lists.one_of(Axis, align, "--align"),
        loss=None if loss is None else lists.one_of(Loss, loss, "--loss"),
        at=at,
    )
    return write_report(request, Path(output), overwrite=overwrite)
