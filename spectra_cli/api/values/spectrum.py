"""One spectrum of a run, with statistics and their standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import FloatArray, Spectrum, StatisticValue
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.statistics.jackknife import delete_one_block, standard_error, with_replicates
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MeasuredSpectrum(Shown):
    """What was measured at one place of one checkpoint.

    Attributes:
        spectrum: as archived; step: of its checkpoint, None where it is unknown.
    """

    spectrum: Spectrum
    step: int | None

    @property
    def values(self) -> FloatArray:
        """(rank,) descending: eigenvalues or singular values, as `spectrum.kind` says."""
        return self.spectrum.values

    @property
    def eigenvalues(self) -> FloatArray:
        """(rank,) on the eigenvalue scale, singular values squared: what statistics are made of."""
        return self.spectrum.eigenvalues()

    @property
    def delete_one_block(self) -> FloatArray:
        """(num_blocks, rank) eigenvalues without each block of the probe in turn; no rows for weights."""
        return delete_one_block(self.spectrum)

    def statistic(self, name: str) -> StatisticValue:
        """A statistic of the registry, with its standard error, status and reason.

        Raises:
            UsageError: there is none of that name.
        """
        if name not in STATISTICS:
            meant = did_you_mean(name, STATISTICS)
            raise UnknownNameError(
                f"no statistic of a spectrum is called {name!r}{meant}. Known: {', '.join(STATISTICS)}"
            )
        return evaluate(STATISTICS[name], self.spectrum, step=self.step)

    def standard_error(self, statistic: str | Callable[[FloatArray], float]) -> float:
        """The block-jackknife standard error of a statistic; NaN where there are no blocks.

        Args:
            statistic: its name, or a function of your own, of eigenvalues (rank,).

        Raises:
            UsageError: there is none of that name.
        """
        if isinstance(statistic, str):
            return self.statistic(statistic).stderr
        per_row = np.array([statistic(row) for row in with_replicates(self.spectrum)], dtype=np.float64)
        return standard_error(per_row, self.spectrum.block_sizes)
