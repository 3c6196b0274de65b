"""What a user asks of a figure, and which checkpoints and places of the archives that means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectra_cli.analysis.alignment import Alignment, align
from spectra_cli.analysis.run import Axis, Loss, Run
from spectra_cli.core.errors import NotHeldError, UnknownNameError, UsageError
from spectra_cli.core.measurements import ACTIVATIONS, MEASUREMENTS
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.spacing import evenly
from spectra_cli.core.types import CheckpointSpectra, Site, Spectrum
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import DECAY_EXPONENT
from spectra_cli.workflows.runs import open_runs
from spectra_cli.workflows.show import places_of_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotRequest:
    """What a figure is to be of; None for what the figure takes by itself.

    Attributes:
        runs: archives, or folders that were scanned; or a single run that is in memory alone.
        steps: of the checkpoints of a single run.
        layers, matrices, measurement: places; matrices by component, measurement by its name in archives.
        statistics: by name.
        align, loss, at: where several runs are matched, as in `compare`: by what, by which loss, and at which
            number; of a forecast, the loss to reach.
    """

    runs: tuple[AnyPath | Run, ...]
    steps: tuple[range, ...] | None = None
    layers: tuple[int, ...] | None = None
    matrices: tuple[str, ...] | None = None
    measurement: str | None = None
    statistics: tuple[str, ...] | None = None
    align: Axis = Axis.LOSS
    loss: Loss | None = None
    at: float | None = None

    def opened(self) -> tuple[Run, ...]:
        """The runs.

        Raises:
            ArchiveError: one is not there, or damaged.
            UsageError: two of them are the same.
        """
        return tuple(one for one in self.runs if isinstance(one, Run)) or open_runs(self.archives)

    @property
    def archives(self) -> tuple[AnyPath, ...]:
        """The runs by their archives."""
        return tuple(one for one in self.runs if not isinstance(one, Run))

    def matched(self, runs: Sequence[Run]) -> Alignment:
        """Where several runs are matched: the points of `compare`."""
        return align(runs, self.align, loss=self.loss, at=self.points)

    @property
    def points(self) -> tuple[float] | None:
        """`at` as `compare` takes it."""
        return None if self.at is None else (self.at,)

    def exponents(self) -> tuple[str, ...] | None:
        """The decay exponents that are asked for, by name.

        Raises:
            UsageError: a statistic is none.
        """
        known = [name for name, one in STATISTICS.items() if one.family is DECAY_EXPONENT]
        for name in self.statistics or ():
            if name not in known:
                raise UnknownNameError(
                    f"--statistic {name}: this figure draws decay exponents alone"
                    f"{did_you_mean(name, known)}. Known: {', '.join(known)}"
                )
        return self.statistics

    def only(self, field: str, flag: str) -> Any:
        """The one layer or statistic that is asked for; None if none is.

        Raises:
            UsageError: several are.
        """
        asked = getattr(self, field) or (None,)
        if len(asked) > 1:
            raise UsageError(f"{flag} {','.join(map(str, asked))}: this figure is of one; name it alone")
        return asked[0]

    def places(self, run: Run) -> list[int]:
        """Which checkpoints of a run are meant, in order.

        Raises:
            UsageError: a step, or a range of them, of which it holds none.
        """
        return places_of_steps(run.series, self.steps)

    def measured(self, run: Run) -> str:
        """The measurement that is meant, or the first of a run: activations where there are any.

        Raises:
            UsageError: the run does not hold it.
        """
        held = run.series.measurements
        if self.measurement is None:
            return ACTIVATIONS if ACTIVATIONS in held else held[0]
        if self.measurement not in held:
            words = [MEASUREMENTS[name].asked or name for name in held if name in MEASUREMENTS]
            raise NotHeldError(
                f"{run.series.path} holds no {MEASUREMENTS[self.measurement].words}; it holds "
                f"{', '.join(words)}"
            )
        return self.measurement

    def spectra(self, checkpoint: CheckpointSpectra, measurement: str, *, most: int | None) -> list[Spectrum]:
        """The spectra that are meant, in order: of all layers and matrices that are asked for, or `most`.

        Args:
            checkpoint: what was measured; measurement: of which spectra.
            most: where nothing is asked for: of layers evenly spaced, or matrices of the last layer; None for
                all there are.

        Raises:
            UsageError: there is no such layer or matrix.
        """
        found = list(checkpoint.select(measurement))
        self._check([one.site for one in found], checkpoint)
        found = [one for one in found if self._wants(one.site)]
        if most is not None and self.layers is None and self.matrices is None:
            if any(one.site.component != "resid_post" for one in found):
                last = max((one.site.layer for one in found if one.site.layer is not None), default=None)
                found = [one for one in found if one.site.layer == last]
            found = [found[place] for place in evenly(len(found), most)]
        return found

    def _wants(self, site: Site) -> bool:
        return (self.layers is None or site.layer in self.layers) and (
            self.matrices is None or site.component in self.matrices
        )

    def _check(self, sites: Sequence[Site], checkpoint: CheckpointSpectra) -> None:
        layers = sorted({site.layer for site in sites if site.layer is not None})
        components = list(dict.fromkeys(site.component for site in sites))
        for flag, asked, held in (
            ("--layer", self.layers or (), layers),
            ("--matrices", self.matrices or (), components),
        ):
            if lacking := [each for each in asked if each not in held]:
                there = ", ".join(map(str, held)) or "none"
                meant = did_you_mean(str(lacking[0]), components) if flag == "--matrices" else ""
                raise UnknownNameError(
                    f"{flag} {lacking[0]}: {checkpoint.ref.run} holds no such spectra{meant}; "
                    f"it holds {there}"
                )


def nearest(run: Run, place: int, alignment: Alignment) -> int:
    """The checkpoint of a run that is nearest to the last point of an alignment: its place in the series."""
    return run.places[alignment.points[-1].places[place].bracket.nearer]


def components(spectra: Iterable[Spectrum]) -> list[str]:
    """Their components, each once, in order."""
    return list(dict.fromkeys(one.site.component for one in spectra))


def axis_of(runs: Sequence[Run]) -> Axis:
    """Over what a trajectory is drawn: tokens where every checkpoint says them, steps otherwise."""
    known = all(np.isfinite(run.tokens).all() for run in runs)
    return Axis.TOKENS if known else Axis.STEP
