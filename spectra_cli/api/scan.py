"""`spectra.scan`: measure a series of checkpoints into an archive, or a model that is in memory."""

from __future__ import annotations

from typing import Any, Protocol, Unpack, overload

from spectra_cli.api.asked.options import (
    MeasurementOptions,
    ScanOptions,
    known,
    request_of,
    with_options,
)
from spectra_cli.api.asked.progress import Listener, reporting
from spectra_cli.api.values.run import MeasuredRun
from spectra_cli.api.values.run import open as open_run
from spectra_cli.core.errors import UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.training import TrainingMetadata
from spectra_cli.workflows import scan as workflow
from spectra_cli.workflows.in_memory import InMemory
from spectra_cli.workflows.live import LiveScan


class LiveModule(Protocol):
    """A `torch.nn.Module`."""

    def state_dict(self) -> Any:
        """Its tensors by name."""


@overload
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
) -> workflow.ScanResult: ...


@overload
def scan(
    checkpoints: AnyPath | None = None,
    *,
    model: LiveModule,
    tokens: object = None,
    step: int | None = None,
    output: AnyPath | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    progress: Listener | None = None,
    **options: Unpack[MeasurementOptions],
) -> MeasuredRun: ...


@with_options(ScanOptions)
def scan(
    checkpoints: AnyPath | None = None,
    *,
    model: str | LiveModule = "",
    tokens: object = None,
    step: int | None = None,
    output: AnyPath | None = None,
    resume: bool = True,
    overwrite: bool = False,
    quiet: bool = False,
    progress: Listener | None = None,
    **options: Unpack[ScanOptions],
) -> workflow.ScanResult | MeasuredRun:
    """Measure a series of checkpoints into an archive; a scan that was stopped continues.

    With a `torch.nn.Module` as model it is measured as it is in memory, bit for bit as the checkpoint that
    would be saved of it, and stays as it was: a copy of its weights is measured (in float32, on `device`).

    Args:
        checkpoints: a run folder, one checkpoint, or org/name@revision in the hub's cache. Of a live model:
            the folder of its run, into whose archive the result goes; without it the result stays in memory.
        model: your own builder of the model, `package.module:function`; or a live model: one of transformers,
            or a nanoGPT, also compiled or in a data-parallel wrapper.
        tokens: of a live model, in place of `probe`: ids (sequences, ids a sequence) or one stream.
        step: of a live model.
        output: the archive to write; by default the run's name, in the working directory.
        resume: keep what an earlier scan finished; overwrite: replace the archive.
        quiet: no progress on stderr.
        progress: hears where the scan is, in place of stderr: a function of one `ScanProgress`, or a bar
            such as `tqdm()`.
        options: what is measured, of which checkpoints, with which tokens and resources (`ScanOptions`).

    Returns:
        What the scan did; of a live model the run, in memory or with all that its archive holds.

    Raises:
        SpectraError: nothing could be done, or (unless `on_error="skip"`) the first checkpoint that could
            not be measured; what was finished before it is kept.
    """
    asked = known(options, "scan")
    if isinstance(model, str):
        if checkpoints is None:
            raise UsageError(
                "nothing to scan: give a run folder or a checkpoint, or model= a torch.nn.Module"
            )
        if tokens is not None or step is not None:
            raise UsageError(
                "tokens and step are of a live model; checkpoints have a probe and their own steps"
            )
        request = request_of(
            checkpoints, asked, model=model, output=output, resume=resume, overwrite=overwrite
        )
        with reporting(progress, quiet=quiet) as report:
            return workflow.scan(request, report)
    if of_series := [name for name in asked if name not in MeasurementOptions.__annotations__]:
        raise UsageError(f"{', '.join(of_series)}: of a series of checkpoints, and a live model is one")
    request = request_of(checkpoints or "", asked, model="", output=output, overwrite=overwrite)
    live = LiveScan(request, tokens=tokens)
    try:
        with reporting(progress, quiet=quiet) as report:
            found = live.measure(model, step=step, training=TrainingMetadata(), progress=report)
    finally:
        live.close()
    if live.archive is not None:
        return open_run(live.archive)
    assert found is not None  # noqa: S101 - only an archive holds it already
    return MeasuredRun(series=InMemory(measured=(found,)))
