"""`spectra.open`: the measured checkpoints of one run, from its archive or from memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from spectra_cli.analysis.run import PROBE_LOSS, Run
from spectra_cli.api.plot import Plots
from spectra_cli.api.values.spectrum import MeasuredSpectrum
from spectra_cli.api.values.tidy_table import TidyTable
from spectra_cli.core.errors import NotHeldError, UsageError
from spectra_cli.core.measurements import ASKED
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series import MeasuredSeries
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import CheckpointSpectra
from spectra_cli.core.words import lists
from spectra_cli.core.words.names import did_you_mean, listed
from spectra_cli.core.words.numbers import finite
from spectra_cli.render.outputs import show as of_statistics
from spectra_cli.render.tidy import COLUMNS
from spectra_cli.workflows.identity.named_archive import open_named
from spectra_cli.workflows.show import summary_of_series

_NUM_NAMED = 12
_OF_TRAINING = ("tokens_seen", "train_loss", "eval_loss")
_LEADING = (*_OF_TRAINING, PROBE_LOSS)
_OF_MODEL = ("batch_size_tokens", "learning_rate", "num_parameters", "architecture")


def open(archive: AnyPath) -> MeasuredRun:  # noqa: A001 - `spectra.open`, as `gzip.open`
    """The run in an archive, by the same rule as `spectra show`.

    Args:
        archive: its path, or the checkpoint folder that was scanned in this directory.

    Raises:
        ArchiveError: there is no such archive, it is damaged, or it is of other checkpoints than those.
    """
    return MeasuredRun(series=open_named(archive))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MeasuredRun(Shown):
    """The measured checkpoints of one run; spectra are read, and verified, when they are asked for.

    Attributes:
        series: what was measured: an archive, or what a live scan keeps in memory.
    """

    series: MeasuredSeries

    def __len__(self) -> int:
        """Number of checkpoints."""
        return len(self.series)

    def __fspath__(self) -> str:
        """Its archive: an opened run may stand wherever the path of one may.

        Raises:
            UsageError: it is in memory alone.
        """
        if not self.series.path.is_file():
            raise UsageError(
                "this run is in memory alone, and this is done with archives: give the scan an output. Its "
                "own figures are drawn by run.plot"
            )
        return str(self.series.path)

    @property
    def notices(self) -> tuple[str, ...]:
        """What whoever reads its numbers has to know, in sentences."""
        return self.series.notices

    @property
    def plot(self) -> Plots:
        """Its figures, drawn into the user's own axes: `run.plot.spectrum(ax=ax, layer=3)`."""
        path = self.series.path
        return Plots(path if path.is_file() else Run(name=self.series.refs[0].run, series=self.series))

    @cached_property
    def checkpoints(self) -> TidyTable:
        """A row a checkpoint: its name, step, tokens and losses, and what it says of model and training."""
        losses = self.series.scalars_over(PROBE_LOSS)
        rows = [
            {
                "checkpoint": ref.key,
                "step": ref.step,
                **{name: getattr(info, name) for name in _OF_TRAINING},
                PROBE_LOSS: finite(float(loss)),
                **{name: getattr(info, name) for name in _OF_MODEL},
                "uri": ref.uri,
                "notices": "; ".join(info.notices),
            }
            for ref, info, loss in zip(self.series.refs, self.series.infos, losses, strict=True)
        ]
        names = ("checkpoint", "step", *_OF_TRAINING, PROBE_LOSS, *_OF_MODEL, "uri", "notices")
        return TidyTable(
            columns=names, rows=tuple(rows), index=("checkpoint",), leading=_LEADING, title="Checkpoints"
        )

    def table(
        self,
        *,
        statistics: lists.Words | None = None,
        layers: lists.Integers | None = None,
        steps: lists.Integers | None = None,
    ) -> TidyTable:
        """Statistics as rows of one value each, with standard error, status and reason.

        Args:
            statistics: only these, such as `"rankme_cov,stable_rank"`; by default those that `show` prints.
            layers: only these, such as `"0,3,6-9"` or `[0, 3]`; steps: likewise.

        Raises:
            UsageError: a statistic, layer or step that is not there.
            ArchiveError: the archive is damaged, or was written anew since it was opened.
        """
        summary = summary_of_series(
            self.series,
            steps=lists.ranges(steps, "steps"),
            layers=lists.integers(layers, "layers"),
            statistics=lists.words(statistics),
        )
        rows = tuple({name: row[name] for name in COLUMNS} for row in of_statistics.rows(summary))
        index = ("checkpoint", "measurement", "site", "statistic")
        return TidyTable(
            columns=COLUMNS,
            rows=rows,
            index=index,
            leading=("value", "status"),
            title="Statistics",
        )

    def spectrum(self, step: int | str | None, site: str, measurement: str | None = None) -> MeasuredSpectrum:
        """One spectrum.

        Args:
            step: of the checkpoint, None where it is unknown; or its name (`step100-final`).
            site: its canonical address, such as `blocks.3.attn.o`.
            measurement: `activations`, `gradients`, `uncentred-gradients`, `weights`, `updates`, or its name
                in archives; may be left out where the site has one.

        Raises:
            UsageError: there is none, or several; with those that there are.
            ArchiveError: the archive is damaged, or was written anew since it was opened.
        """
        place = self._place(step)
        found = self.series.checkpoint(place, vectors=False)
        here = [one for one in found.spectra if one.site.address == site]
        if not here:
            raise NotHeldError(self._no_spectrum(found, site))
        held = ", ".join(_asked(one.measurement) for one in here)
        if measurement is not None:
            name = ASKED.get(measurement, measurement)
            here = [one for one in here if one.measurement == name]
            if not here:
                raise NotHeldError(f"{found.ref.key} holds no {measurement} of {site}; it holds {held}")
        if len(here) > 1:
            raise UsageError(f"{found.ref.key} holds several spectra of {site}; name one of {held}")
        return MeasuredSpectrum(spectrum=here[0], step=found.ref.step)

    def _place(self, step: int | str | None) -> int:
        refs = self.series.refs
        places = [n for n, ref in enumerate(refs) if step in (ref.key, ref.step)]
        if len(places) == 1:
            return places[0]
        if places:
            keys = ", ".join(refs[place].key for place in places)
            raise UsageError(
                f"{self.series.path} holds several checkpoints of step {step}; name one of {keys}"
            )
        held = listed((ref.key for ref in refs), _NUM_NAMED)
        raise NotHeldError(f"{self.series.path} holds no step {step}; it holds {held}")

    def _no_spectrum(self, found: CheckpointSpectra, site: str) -> str:
        why = next((one.reason for one in found.skipped if one.site.address == site), "")
        if why:
            return f"{found.ref.key} holds no spectrum of {site}: {why}"
        sites = list(dict.fromkeys(one.site.address for one in found.spectra))
        held = listed(sites, _NUM_NAMED)
        meant = did_you_mean(site, sites)
        return f"{found.ref.key} holds no spectrum of {site}{meant}; it holds those of {held}"


def _asked(measurement: str) -> str:
    """The user's word for a measurement; its name in archives where there is none."""
    return next((word for word, name in ASKED.items() if name == measurement), measurement)
