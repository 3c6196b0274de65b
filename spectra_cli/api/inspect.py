"""`spectra.inspect`: what a scan would do, before a scan."""

from __future__ import annotations

from typing import Unpack

from spectra_cli.api.asked.options import ScanOptions, known, request_of, with_options
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows import inspect as workflow
from spectra_cli.workflows.estimates.outlook import Outlook, outlook


@with_options(ScanOptions)
def inspect(checkpoints: AnyPath, *, model: str = "", **options: Unpack[ScanOptions]) -> Outlook:
    """What a scan would measure, and how: checkpoints, model, passes and memory, from headers.

    Weights are read too, up to 2 GiB in all; of those beyond, `inspection.series_notices` says so.

    What speaks against the scan is not raised: it is the result's `inspection.refusal(skip_errors=...)`.

    Args:
        checkpoints: a run folder, one checkpoint, or org/name@revision in the hub's cache.
        model: your own builder of the model, `package.module:function`.
        options: as of a scan (`ScanOptions`).

    Raises:
        CheckpointError, ModelError: no checkpoint there can be read.
        ProbeError: the probe cannot be read, or does not fit the model.
        UsageError: layers, matrices, steps, settings or a device that do not exist.
    """
    request = request_of(checkpoints, known(options, "inspect"), model=model)
    return outlook(workflow.inspect(request), request.series.selection)
