"""`spectra.compare`: are these runs different inside, where, and beyond the measurement's noise?"""

from __future__ import annotations

import os
from collections.abc import Sequence

from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.comparison import CompareRequest, Comparison
from spectra_cli.analysis.run import Axis, Loss
from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.measurements import ASKED
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.workflows import compare as workflow


def compare(
    *runs: AnyPath,
    align: str = "loss",
    loss: str | None = None,
    points: int = 5,
    at: lists.Numbers | None = None,
    layer: lists.Integers | None = None,
    measure: lists.Words | None = None,
    statistic: lists.Words | None = None,
    baseline: AnyPath | None = None,
    replicates: AnyPath | Sequence[AnyPath] | None = None,
    throughput_ratio: float | None = None,
    allow: lists.Words | None = None,
) -> Comparison:
    """Compare runs at equal loss: where they differ inside, and whether beyond the noise.

    Args:
        runs: two or more: archives, or the checkpoint folders that were scanned.
        align: what to make equal: `loss`, `step` or `tokens`.
        loss: which: `probe`, `validation` or `train`; by default the first that all runs have.
        points: number of aligned points; at: the points themselves.
        layer: only these layers; measure: only these of `activations`, `gradients`, `weights`, `updates`,
            `uncentred-gradients`; statistic: only these statistics and distances.
        baseline: the run that the others are compared with; by default the first.
        replicates: runs among them that are other seeds of the baseline's recipe.
        throughput_ratio: tokens a second of the second run over the first, if measured.
        allow: what may have been measured differently, such as `probe,dtype`.

    Raises:
        UsageError: fewer than two runs, or a name that stands for nothing.
        ArchiveError: there is no such archive, or it is damaged.
        DataError: the runs were not measured in the same way, or have nothing in common.
    """
    measures = lists.words(measure)
    for word in measures or ():
        if word not in ASKED:
            meant = did_you_mean(word, ASKED)
            raise UnknownNameError(f"--measure {measure}: {word} is not one of {', '.join(ASKED)}{meant}")
    return workflow.compare(
        CompareRequest(
            runs=runs,
            axis=lists.one_of(Axis, align, "--align"),
            loss=None if loss is None else lists.one_of(Loss, loss, "--loss"),
            number=points,
            at=lists.numbers(at, "--at"),
            choice=Choice(
                measurements=None if measures is None else tuple(ASKED[word] for word in measures),
                statistics=lists.words(statistic),
                layers=lists.integers(layer, "--layer"),
            ),
            baseline=baseline,
            allowed=lists.words(allow) or (),
            replicates=_several(replicates),
            throughput_ratio=throughput_ratio,
        )
    )


def _several(asked: AnyPath | Sequence[AnyPath] | None) -> tuple[AnyPath, ...]:
    if isinstance(asked, os.PathLike):
        return (asked,)
    return (lists.words(asked) if isinstance(asked, str) else tuple(asked or ())) or ()
