"""`spectra inspect`: what a scan would do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from spectra_cli.cli import options
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.groups.series import KnowledgeOptions, SelectionOptions
from spectra_cli.cli.groups.settings import ProbeOptions, ResourceOptions, SettingsOptions
from spectra_cli.cli.help import examples

if TYPE_CHECKING:
    from spectra_cli.workflows.inspect import Inspection

EPILOG = examples(
    "spectra inspect runs/a",
    "spectra inspect runs/a --probe validation.bin --config study.toml",
)


def command(
    checkpoints: options.CheckpointsArgument,
    *,
    probe: ProbeOptions,
    selection: SelectionOptions,
    settings: SettingsOptions,
    knowledge: KnowledgeOptions,
    resources: ResourceOptions,
    form: OutputOptions,
) -> None:
    """Show what a scan would measure, and how.

    Checkpoints, model, matrices, passes and memory, from headers. Weights are read too, up to 2 GiB in all;
    a notice says where they are not. What speaks against a scan is refused as the scan would, with its exit
    code.
    """
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.render.outputs.inspect import output
    from spectra_cli.workflows.estimates.outlook import outlook
    from spectra_cli.workflows.inspect import inspect

    chosen = form.resolve()
    request = ScanRequest(
        checkpoints=checkpoints,
        settings=settings.resolve(knowledge.about("scan")),
        series=knowledge.resolve(selection.resolve()),
        skip_errors=selection.skips_errors,
        **vars(probe),
        **resources.resolve(),
    )
    found = inspect(request)
    emit(output(outlook(found, request.series.selection)), chosen)
    _end_as_a_scan_would(found, skip_errors=request.skip_errors)


def _end_as_a_scan_would(found: Inspection, *, skip_errors: bool) -> None:
    """The error or the exit code with which a scan of these checkpoints would end."""
    from spectra_cli.render.console import say

    refusal = found.refusal(skip_errors=skip_errors)
    if refusal is not None:
        sys.stdout.flush()
        raise refusal
    for ref, reason in found.failed:
        say(f"left out: {ref.key}: {reason}")
    if found.failed:
        sys.exit(options.DONE_IN_PART)
