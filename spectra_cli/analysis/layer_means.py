"""One number of a checkpoint: a statistic's mean over some layers, with its error.

The layers see the same probe, so that their errors are correlated: the mean is taken of the delete-one-block
values, and its error from those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.decisions import Estimated
from spectra_cli.core.types import FloatArray, Spectrum, Status
from spectra_cli.statistics.statistic import Statistic, estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerMean:
    """A statistic's mean over layers.

    Attributes:
        estimated: None where a layer has no value.
        layers: averaged over.
        status: the worst of the layers; `reason`: of the first layer that has it, with its address.
    """

    estimated: Estimated | None
    layers: tuple[int, ...]
    status: Status = Status.OK
    reason: str = ""


def layer_mean(spectra: Sequence[Spectrum], statistic: Statistic) -> LayerMean:
    """Mean of a statistic over spectra, one or more a layer, of one checkpoint.

    Nothing is left out of the mean: where one layer has no value, there is none. Of a count of directions
    (`rank_90`) the interpolated number is taken, not the rounded one.
    """
    layers = tuple(sorted({s.site.layer for s in spectra if s.site.layer is not None}))
    rows: list[FloatArray] = []
    status, reason = Status.OK, ""
    for spectrum in spectra:
        found = estimate(statistic, spectrum)
        told = f"{spectrum.site.address}: {found.reason}"
        if not found.status.has_value:
            return LayerMean(estimated=None, layers=layers, status=found.status, reason=told)
        if found.status is not Status.OK and status is Status.OK:
            status, reason = found.status, told
        rows.append(found.per_row)
    sizes = {spectrum.block_sizes for spectrum in spectra}
    if len(sizes) > 1 or len({row.size for row in rows}) > 1:
        estimated = Estimated(per_row=np.array([np.mean([row[0] for row in rows])]), block_sizes=())
    else:
        estimated = Estimated(per_row=np.mean(rows, axis=0), block_sizes=spectra[0].block_sizes)
    return LayerMean(estimated=estimated, layers=layers, status=status, reason=reason)


def last_third(layers: Sequence[int]) -> tuple[int, ...]:
    """The last third of the measured layers, at least one.

    >>> last_third(range(12)), last_third([0, 1])
    ((8, 9, 10, 11), (1,))
    """
    ordered = sorted(layers)
    return tuple(ordered[-max(1, len(ordered) // 3) :])
