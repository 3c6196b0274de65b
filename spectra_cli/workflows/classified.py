"""The taxonomy of a pair of runs at every aligned point: spectra, tokens to the same loss, throughput."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.differences import SiteDifference
from spectra_cli.analysis.performance import Performance, performance, tokens_at
from spectra_cli.analysis.points import Point
from spectra_cli.analysis.taxonomy import Taxonomy, classify
from spectra_cli.statistics.jackknife import standard_error
from spectra_cli.statistics.statistic import ACTIVATIONS, GRADIENTS
from spectra_cli.workflows.compared_runs import Run


def loss_stderr(first: Point, second: Point, *, paired: bool) -> float:
    """Standard error of the difference of two runs' losses at a point; NaN where it is unknown."""
    a, b = first.loss_noise, second.loss_noise
    if not (a.size and b.size):
        return math.nan
    if paired and a.size == b.size:
        return standard_error(b - a, (1,) * (a.size - 1))
    return math.hypot(*(standard_error(rows, (1,) * (rows.size - 1)) for rows in (a, b)))


def taxonomies(
    runs: Sequence[Run],
    pair: tuple[int, int],
    differences: Sequence[SiteDifference],
    alignment: Alignment,
    *,
    loss_errors: Mapping[float, float],
    replicates: Sequence[Sequence[SiteDifference]],
    throughput_ratio: float | None,
) -> tuple[Taxonomy, ...]:
    """The label of the change at each point; none where neither activations nor gradients were compared.

    Args:
        runs: of the comparison; pair: places of the baseline and of the other run.
        differences: of the pair, decided.
        alignment: of all runs.
        loss_errors: target -> standard error of the difference of their losses.
        replicates: differences of other seeds of the baseline's recipe from it.
        throughput_ratio: of the other run over the baseline, where it was measured.
    """
    if not {ACTIVATIONS, GRADIENTS} & {one.measurement for one in differences}:
        return ()
    settings = runs[pair[0]].archive.provenance.settings
    num_sequences = {
        ACTIVATIONS: int(settings.get("num_sequences", 0)),
        GRADIENTS: int(settings.get("num_gradient_sequences", 0)),
    }
    gains = _known_gains(runs, pair, alignment, loss_errors, throughput_ratio)
    return tuple(
        classify(
            differences,
            aligned.target,
            num_sequences=num_sequences,
            performance=gain,
            replicates=replicates,
        )
        for aligned, gain in zip(alignment.points, gains, strict=True)
    )


def _known_gains(
    runs: Sequence[Run],
    pair: tuple[int, int],
    alignment: Alignment,
    loss_errors: Mapping[float, float],
    throughput_ratio: float | None,
) -> list[Performance]:
    """At each point; tokens to the same loss are known only where a matched loss is what is equal."""
    if alignment.loss is None or not alignment.is_matched:
        gain = math.nan if throughput_ratio is None else throughput_ratio - 1.0
        return [Performance(throughput_gain=gain)] * len(alignment.points)
    gains = []
    for aligned in alignment.points:
        at = [
            tokens_at(
                [info.tokens_seen for info in runs[place].archive.infos],
                aligned.places[place].bracket,
                runs[place].trajectory.losses[alignment.loss].tolist(),
            )
            for place in pair
        ]
        error = loss_errors[aligned.target]
        gains.append(performance(at[0], at[1], loss_stderr=error, throughput_ratio=throughput_ratio))
    return gains
