"""The taxonomy of a pair of runs at every aligned point: spectra, tokens to the same loss, throughput."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spectra_cli.analysis.alignment import MATCHED_WITHIN, AlignedPoint, Alignment
from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.analysis.compare.differences import Choice, SiteDifference
from spectra_cli.analysis.run import Run
from spectra_cli.analysis.taxonomy.labels import Taxonomy, classify
from spectra_cli.analysis.taxonomy.token_gain import performance, tokens_at
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENTS
from spectra_cli.statistics.jackknife import standard_error


def loss_stderr(first: Point, second: Point, *, paired: bool) -> float:
    """Standard error of the difference of two runs' losses at a point; NaN where it is unknown."""
    a, b = first.loss_noise, second.loss_noise
    if not (a.size and b.size):
        return math.nan
    if paired and first.loss_sizes == second.loss_sizes:
        return standard_error(b - a, first.loss_sizes)
    return math.hypot(*(standard_error(one.loss_noise, one.loss_sizes) for one in (first, second)))


def why_no_taxonomy(
    differences: Sequence[SiteDifference], choice: Choice, alignment: Alignment, pair: tuple[int, int]
) -> str:
    """Why a pair of runs is not classified; empty if it is.

    Args:
        differences: of the pair; choice: of the user, of what is compared.
        alignment: of all runs; pair: places of the baseline and of the other run.
    """
    if choice != Choice():
        return "it asks for everything that is compared: leave out --layer, --measure and --statistic"
    if not {ACTIVATIONS, GRADIENTS} & {one.measurement for one in differences}:
        return "neither activations nor gradients were measured in both runs"
    if alignment.loss is None:
        return f"it is a rule for equal loss, and the runs are compared at equal {alignment.axis}"
    if not _matched(alignment, pair):
        return "it is a rule for equal loss, and the losses of these runs are not matched"
    return ""


def _matched(alignment: Alignment, pair: tuple[int, int]) -> list[AlignedPoint]:
    """The points at which both runs stand close enough to the same loss."""
    return [
        point
        for point in alignment.points
        if all(point.places[place].gap <= MATCHED_WITHIN for place in pair)
    ]


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
    """The label of the change at each point where the losses are matched; see `why_no_taxonomy`.

    Args:
        runs: of the comparison; pair: places of the baseline and of the other run.
        differences: of the pair, decided.
        alignment: of all runs, on a loss.
        loss_errors: target -> standard error of the difference of their losses; NaN where unknown.
        replicates: differences of other seeds of the baseline's recipe from it.
        throughput_ratio: of the other run over the baseline, where it was measured.
    """
    if alignment.loss is None:
        return ()
    settings = runs[pair[0]].series.provenance.setting_facts
    sizes = {name: settings.samples_of(name) for name in (ACTIVATIONS, GRADIENTS)}
    found = []
    for point in _matched(alignment, pair):
        at = [
            tokens_at(
                [info.tokens_seen for info in runs[place].infos],
                point.places[place].bracket,
                runs[place].losses(alignment.loss).tolist(),
            )
            for place in pair
        ]
        gain = performance(
            at[0], at[1], loss_stderr=loss_errors[point.target], throughput_ratio=throughput_ratio
        )
        found.append(
            classify(
                differences,
                point.target,
                num_sequences=sizes,
                performance=gain,
                replicates=replicates,
            )
        )
    return tuple(found)
