"""What of archives is exported: their runs, told apart by name, and the part of each that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from spectra_cli.analysis.run import Loss, Run
from spectra_cli.core.errors import NotHeldError, UnknownNameError, UsageError
from spectra_cli.core.measurements import ASKED
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Site
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.workflows.runs import open_runs
from spectra_cli.workflows.show import CheckpointSummary, places_of_steps, summary_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which part of an archive; None for all of it, and for the statistics shown by default.

    Attributes:
        steps, layers, statistics: as in `show`.
        measurements: names of measurements, or the words that `--measure` has for them.
    """

    steps: Sequence[int | range] | None = None
    layers: Sequence[int] | None = None
    statistics: Sequence[str] | None = None
    measurements: Sequence[str] | None = None

    @property
    def measurement_names(self) -> tuple[str, ...] | None:
        """The names that archives have for the measurements asked for."""
        return None if self.measurements is None else tuple(ASKED.get(one, one) for one in self.measurements)


@dataclass(frozen=True, kw_only=True)
class ExportedRun:
    """A run with the checkpoints that were asked for, and what of each is.

    Attributes:
        run: of these checkpoints alone; its name tells it from the others.
        selection: what of them was asked for.
    """

    run: Run
    selection: Selection

    def __len__(self) -> int:
        return len(self.run)

    def probe_losses(self) -> FloatArray:
        """(checkpoints,) nats, NaN where it was not measured."""
        return self.run.losses(Loss.PROBE)

    def check_steps(self, purpose: str) -> None:
        """Check that the step of some checkpoint is known.

        Args:
            purpose: what goes by steps, to begin a sentence with.

        Raises:
            UsageError: none is.
        """
        if all(self.run.series.refs[place].step is None for place in self.run.places):
            raise UsageError(
                f"{purpose} goes by steps, and nothing says those of the checkpoints in "
                f"{self.run.series.path}; export them to a file with -o"
            )

    def checkpoints(self) -> Iterator[CheckpointSpectra]:
        """Each checkpoint with the spectra and what was skipped, of the layers and measurements asked for."""
        for one in self.run.checkpoints(range(len(self.run))):
            yield replace(
                one,
                spectra=tuple(s for s in one.spectra if self._holds(s.measurement, s.site)),
                skipped=tuple(s for s in one.skipped if self._holds(s.measurement, s.site)),
            )

    def summaries(self) -> Iterator[CheckpointSummary]:
        """Each checkpoint with the statistics asked for: of these layers and measurements.

        Raises:
            UsageError: a statistic that there is not.
        """
        names = self.selection.measurement_names
        for one in self.checkpoints():
            found = summary_of(one, self.selection.layers, self.selection.statistics)
            if names is not None:
                found = replace(
                    found, statistics=tuple(v for v in found.statistics if v.measurement in names)
                )
            yield found

    def nothing(self) -> UsageError:
        """What to say where none of it is there."""
        path = self.run.series.path
        return UsageError(
            f"nothing of {path} is all that was asked for together; `spectra show {path}` says what it holds"
        )

    def _holds(self, measurement: str, site: Site) -> bool:
        names, layers = self.selection.measurement_names, self.selection.layers
        return (names is None or measurement in names) and (layers is None or site.layer in layers)


def choose(archives: Sequence[AnyPath], selection: Selection) -> tuple[ExportedRun, ...]:
    """The part of each archive that is to be exported.

    Args:
        archives: by path, or by the folder that was scanned.
        selection: which part, of each of them.

    Raises:
        ArchiveError: one is not there, or damaged.
        UsageError: one is given twice, or holds no such step, measurement or layer.
    """
    return tuple(
        ExportedRun(run=_with_chosen(run, selection), selection=selection) for run in open_runs(archives)
    )


def _with_chosen(run: Run, selection: Selection) -> Run:
    chosen = replace(run, chosen=tuple(places_of_steps(run.series, selection.steps)))
    names, layers = selection.measurement_names, selection.layers
    if names is None and layers is None:
        return chosen
    held = [place for one in chosen.checkpoints({0, len(chosen) - 1}) for place in _places(one)]
    known = tuple(dict.fromkeys([*run.series.measurements, *(name for name, _ in held)]))
    for name in names or ():
        if name not in known:
            meant = did_you_mean(name, known)
            raise UnknownNameError(
                f"{run.series.path} holds no measurement {name!r}{meant}; it holds {', '.join(known)}"
            )
    numbers = sorted({site.layer for _, site in held if site is not None and site.layer is not None})
    if layers is not None and not {*layers} & {*numbers}:
        asked = ", ".join(map(str, layers))
        raise NotHeldError(
            f"{run.series.path} holds no layer {asked}; it holds {', '.join(map(str, numbers))}"
        )
    return chosen


def _places(checkpoint: CheckpointSpectra) -> Iterator[tuple[str, Site | None]]:
    """Measurement and site of everything that a checkpoint has, or was to have."""
    yield from ((one.measurement, one.site) for one in checkpoint.spectra)
    yield from ((one.measurement, one.site) for one in checkpoint.scalars)
    yield from ((one.measurement, one.site) for one in checkpoint.skipped)
