"""`spectra.scan`: measure a series of checkpoints into an archive."""

from __future__ import annotations

from typing import Unpack

from spectra_cli.api.progress import Listener, reporting
from spectra_cli.api.scan_options import ScanOptions, known, request_of, with_options
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows import scan as workflow


@with_options
def scan(
    checkpoints: AnyPath,
    *,
    model: str = "",
    output: AnyPath | None = None,
    resume: bool = True,
    overwrite: bool = False,
    quiet: bool = False,
    progress: Listener | None = None,
    **options: Unpack[ScanOptions],
) -> workflow.ScanResult:
    """Measure a series of checkpoints into an archive; a scan that was stopped continues.

    Args:
        checkpoints: a run folder, one checkpoint, or org/name@revision in the hub's cache.
        model: your own builder of the model, `package.module:function`.
        output: the archive to write; by default the run's name, in the working directory.
        resume: keep what an earlier scan finished; overwrite: replace the archive.
        quiet: no progress on stderr.
        progress: hears where the scan is, in place of stderr: a function of one `ScanProgress`, or a bar
            such as `tqdm()`.
        options: what is measured, of which checkpoints, with which tokens and resources (`ScanOptions`).

    Raises:
        SpectraError: nothing could be done, or (unless `on_error="skip"`) the first checkpoint that could
            not be measured; what was finished before it is kept.
    """
    asked = known(options, "scan")
    request = request_of(checkpoints, asked, model=model, output=output, resume=resume, overwrite=overwrite)
    with reporting(progress, quiet=quiet) as report:
        return workflow.scan(request, report)
