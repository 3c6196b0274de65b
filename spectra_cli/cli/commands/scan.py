"""`spectra scan`: measure a series of checkpoints into an archive."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.cli import interrupts, options
from spectra_cli.cli.groups.group import OptionGroup, option
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.groups.report import ReportOptions
from spectra_cli.cli.groups.series import KnowledgeOptions, SelectionOptions
from spectra_cli.cli.groups.settings import ProbeOptions, ResourceOptions, SettingsOptions
from spectra_cli.cli.help import examples

if TYPE_CHECKING:
    from spectra_cli.workflows.scan import ScanResult

EPILOG = examples(
    "spectra scan runs/a --probe validation.bin",
    "spectra scan runs/a --probe val.bin --preset quick --steps 0:20000:1000",
    "spectra scan runs/a --probe text.txt --measure activations --layers 0,3",
    "spectra scan runs/a --probe synthetic --memory 8GiB --set scan.pool=last",
)


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions(OptionGroup):
    """What is written, and what becomes of an archive that is there."""

    panel = "The archive"

    output: Path | None = option(
        "The archive to write. [default: the run's name here]", "--output", "-o", metavar="FILE"
    )
    resume: bool = option("Keep what an earlier scan finished.", "--resume/--no-resume", default=True)
    overwrite: bool = option("Replace the archive.", default=False)


def command(
    checkpoints: options.CheckpointsArgument,
    *,
    probe: ProbeOptions,
    selection: SelectionOptions,
    settings: SettingsOptions,
    archive: ArchiveOptions,
    knowledge: KnowledgeOptions,
    resources: ResourceOptions,
    form: OutputOptions,
    report: ReportOptions,
    quiet: options.QuietOption = False,
) -> None:
    """Measure a series of checkpoints into an archive.

    The same tokens run through each checkpoint; activation, gradient and weight spectra of all layers
    come out of one pass. A scan that was stopped continues when the same command runs again.
    """
    interrupts.continues()
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.render.console import say, scan_progress
    from spectra_cli.render.outputs import scan as rendering
    from spectra_cli.render.tables.show import tables
    from spectra_cli.workflows.scan import ScanProgress, scan
    from spectra_cli.workflows.show import show

    chosen = form.resolve()
    report.check()
    request = ScanRequest(
        checkpoints=checkpoints,
        settings=settings.resolve(knowledge.about("scan")),
        series=knowledge.resolve(selection.resolve()),
        skip_errors=selection.skips_errors,
        **vars(probe),
        **resources.resolve(),
        **vars(archive),
    )
    with scan_progress(quiet=quiet) as bar:

        def progress(now: ScanProgress) -> None:
            interrupts.check()
            bar(now.ref.key, now.number, now.count, now.activity, now.done, now.total)

        def stage(words: str) -> None:
            interrupts.check()
            bar("", 0, 0, words, 0, 0)

        result = scan(request, progress, say, stage)
    _tell(result)
    emit(rendering.output(result, lambda: tables(show(result.archive))), chosen)
    if chosen != "json":
        kept = f", {len(result.kept)} kept from before" if result.kept else ""
        where = f"{result.archive}  (spectra show {result.archive})"
        say(f"{len(result.measured)} measured{kept}; archive: {where}")
    report.write((str(result.archive),))
    if result.failed:
        sys.exit(options.DONE_IN_PART)


def _tell(result: ScanResult) -> None:
    """What is to be known of the checkpoints and the archive, on stderr."""
    from spectra_cli.render.console import say

    if not result.found_all_done:
        say(*(f"left out: {ref.key}: {reason}" for ref, reason in result.failed), *result.notices)
    if result.mixture:
        say(f"{result.archive}: {result.mixture}")
