"""`spectra scan`: measure a series of checkpoints into an archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spectra_cli.cli import interrupts, options
from spectra_cli.cli import series_options as series

if TYPE_CHECKING:
    from spectra_cli.workflows.scan import ScanResult


def command(
    checkpoints: options.CheckpointsArgument,
    *,
    probe: options.ProbeOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The archive to write.")] = None,
    steps: series.StepsOption = "",
    every: series.EveryOption = None,
    last: series.LastOption = None,
    limit: series.LimitOption = None,
    preset: options.PresetOption = None,
    layers: options.LayersOption = None,
    matrices: options.MatricesOption = None,
    measure: options.MeasureOption = None,
    normalize: options.NormalizeOption = None,
    sequences: options.SequencesOption = None,
    gradient_sequences: options.GradientSequencesOption = None,
    sequence_length: options.LengthOption = None,
    targets: options.TargetsOption = None,
    dtype: options.DtypeOption = None,
    seed: options.SeedOption = None,
    vectors: options.VectorsOption = None,
    config: options.ConfigOption = None,
    tokenizer: options.TokenizerOption = None,
    probe_format: options.ProbeFormatOption = None,
    device: options.DeviceOption = "auto",
    memory: options.MemoryOption = None,
    batch_size: options.BatchSizeOption = None,
    on_error: options.OnErrorOption = "fail",
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Keep what an earlier scan finished.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the archive.")] = False,
    log: series.LogOption = "",
    facts: series.SetOption = None,
    base: series.BaseOption = "",
    model: series.ModelOption = "",
    trust_remote_code: series.TrustOption = False,
    reference: series.ReferenceOption = "",
    as_json: options.JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Measure a series of checkpoints into an archive.

    The same tokens run through each checkpoint; activation, gradient and weight spectra of all layers
    come out of one pass. A scan that was stopped continues when the same command runs again.
    """
    from spectra_cli.render.console import say
    from spectra_cli.render.progress import scan_progress
    from spectra_cli.workflows.scan import ScanProgress, ScanRequest, scan

    skip_errors = options.skips_errors(on_error)
    settings = options.settings_from(
        preset,
        config,
        {
            "layers": layers,
            "matrices": matrices,
            "measurements": measure,
            "normalize": normalize,
            "num_sequences": sequences,
            "num_gradient_sequences": gradient_sequences,
            "sequence_length": sequence_length,
            "targets": targets,
            "dtype": dtype,
            "seed": seed,
            "num_vectors": vectors,
        },
    )
    request = ScanRequest(
        checkpoints=checkpoints,
        settings=settings,
        series=series.series_options(
            steps=steps,
            every=every,
            last=last,
            limit=limit,
            log=log,
            facts=facts,
            base=base,
            builder=model,
            trust_remote_code=trust_remote_code,
            reference=reference,
        ),
        probe=probe,
        probe_format=probe_format,
        tokenizer=tokenizer,
        output=output,
        device=device,
        memory_bytes=options.memory_bytes(memory),
        batch_size=batch_size,
        skip_errors=skip_errors,
        resume=resume,
        overwrite=overwrite,
    )
    with scan_progress(quiet=quiet) as report:

        def progress(now: ScanProgress) -> None:
            interrupts.check()
            report(now.ref.key, now.number, now.count, now.activity, now.done, now.total)

        def stage(words: str) -> None:
            interrupts.check()
            report("", 0, 0, words, 0, 0)

        result = scan(request, progress, say, stage)
    _print_result(result, as_json=as_json)
    if result.failed:
        sys.exit(options.DONE_IN_PART)


def _print_result(result: ScanResult, *, as_json: bool) -> None:
    from spectra_cli.cli.show import print_summary
    from spectra_cli.render.console import say
    from spectra_cli.render.tidy import as_json as json_text
    from spectra_cli.workflows.show import show

    if not result.found_all_done:
        for ref, reason in result.failed:
            say(f"left out: {ref.key}: {reason}")
        for notice in result.notices:
            say(notice)
    if result.mixture:
        say(f"{result.archive}: {result.mixture}")
    if as_json:
        document = {
            "schema": "spectra.scan/1",
            "archive": str(result.archive),
            "measured": [ref.key for ref in result.measured],
            "kept": [ref.key for ref in result.kept],
            "failed": [{"checkpoint": ref.key, "reason": reason} for ref, reason in result.failed],
            "unfinished": result.unfinished and result.unfinished.document(),
            "notices": [*result.before, *result.notices, *([result.mixture] if result.mixture else [])],
        }
        sys.stdout.write(json_text(document))
        return
    if not result.found_all_done:
        print_summary(show(result.archive))
    kept = f", {len(result.kept)} kept from before" if result.kept else ""
    say(f"{len(result.measured)} measured{kept}; archive: {result.archive}  (spectra show {result.archive})")
