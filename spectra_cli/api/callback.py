"""`spectra.callback`: a `TrainerCallback` that scans every so many steps into one archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from spectra_cli.api.asked.options import MeasurementOptions, known, request_of, skips_errors, with_options
from spectra_cli.api.values.run import MeasuredRun
from spectra_cli.api.values.run import open as open_run
from spectra_cli.core.errors import ArchiveError, SpectraError, UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.render.console import say
from spectra_cli.workflows.live import LiveScan

if TYPE_CHECKING:
    from spectra_cli.extract.live.trainer import Moment, StepCallback


@with_options(MeasurementOptions)
def callback(
    every: int,
    *,
    tokens: object = None,
    output: AnyPath | None = None,
    overwrite: bool = False,
    on_error: str = "skip",
    **options: Unpack[MeasurementOptions],
) -> StepCallback[TrainingScans]:
    """A `transformers.TrainerCallback` that scans the model while it trains, into one archive.

    The training stays as it was, to the last bit: a copy of the weights is measured, and every random state
    and mode is put back. Measured are the beginning, every `every`-th step and the end, in the first process
    alone. What speaks against the scan at the beginning (tokens, settings, an archive of another training)
    is raised there. `callback.listener.run` is what is measured so far.

    Args:
        every: steps between two scans.
        tokens: ids (sequences, ids a sequence) or one stream, in place of `probe`.
        output: the archive; by default named after `output_dir`, in the working directory.
        overwrite: replace the archive of an earlier training. One that is resumed continues its own.
        on_error: a step that cannot be measured: `skip` says so on stderr, in `callback.listener.failures`
            and in the archive, and the training goes on; `fail` ends it with the error.
        options: what is measured, with which tokens and resources (`MeasurementOptions`).

    Raises:
        UsageError: options that cannot mean anything.
    """
    if every < 1:
        raise UsageError(f"every is {every}: expected a number of steps of at least 1")
    from spectra_cli.extract.live.trainer import StepCallback

    asked = known(options, "callback", MeasurementOptions.__annotations__)
    fixed = {"output": output, "overwrite": overwrite}
    request_of("", asked, model="")  # what cannot be meant is said before the training starts
    return StepCallback(
        TrainingScans(every=every, tokens=tokens, asked=asked, fixed=fixed, skips=skips_errors(on_error))
    )


class TrainingScans:
    """The scans of one training.

    Attributes:
        failures: step -> why it was not measured.
    """

    def __init__(
        self, *, every: int, tokens: object, asked: Mapping[str, Any], fixed: Mapping[str, Any], skips: bool
    ) -> None:
        """Nothing is measured yet."""
        self.failures: dict[int, str] = {}
        self._every, self._tokens, self._skips = every, tokens, skips
        self._asked, self._fixed = asked, fixed
        self._live: LiveScan | None = None
        self._last = -1

    @property
    def run(self) -> MeasuredRun:
        """What is measured so far.

        Raises:
            ArchiveError: nothing is.
        """
        if self._live is None or self._live.archive is None:
            raise ArchiveError("nothing is measured yet: the training has not begun")
        return open_run(self._live.archive)

    def begin(self, now: Moment) -> None:
        """Check everything that can be, and measure the model as the training found it."""
        request = request_of(now.folder, self._asked, model="", **self._fixed)
        self._live = LiveScan(request, tokens=self._tokens)
        self._live.begin(now.module, step=now.step)
        self._measure(now)

    def step(self, now: Moment) -> None:
        """Measure every so many steps."""
        if now.step % self._every == 0:
            self._measure(now)

    def end(self, now: Moment) -> None:
        """Measure the last step, and make one file of the archive."""
        if self._live is None:
            return
        try:
            self._measure(now)
        finally:
            self._live.close()

    def _measure(self, now: Moment) -> None:
        if self._live is None or now.step == self._last:
            return
        self._last = now.step
        try:
            self._live.measure(now.module, step=now.step, training=now.training)
        except SpectraError as error:
            if not self._skips:
                raise
            self.failures[now.step] = str(error)
            say(f"spectra: step {now.step} was not measured: {error}")
