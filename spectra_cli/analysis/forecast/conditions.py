"""What the runs of a forecast lack of the conditions under which it means something."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from spectra_cli.analysis.forecast.evidence import (
    ENOUGH_IN_A_FAMILY,
    ENOUGH_POOLED,
    RunTable,
    usable_baselines,
)
from spectra_cli.analysis.forecast.rows import CENSORED, EXCLUDED, REACHED, RunRow, candidates
from spectra_cli.analysis.run import Axis, Run
from spectra_cli.core.types import Status
from spectra_cli.core.words.numbers import count

# Early checkpoints further apart than this are not of the same moment (docs/how-to/forecast-tokens.md).
SAME_MOMENT = 0.02


def about_the_scans(runs: Sequence[Run], axis: Axis, differences: Sequence[str]) -> Iterator[str]:
    """In what the runs are not alike as wholes, in sentences."""
    if axis is Axis.STEP:
        yield (
            "not every run says its tokens: everything is in steps, which runs of different batch size do "
            "not share"
        )
    if differences:
        yield f"the runs were not measured alike: {'; '.join(differences)}"
    for run in runs:
        if run.num_left_out:
            yield f"{run.name}: {run.num_left_out} checkpoint(s) without {axis.unit} left out"


def about_rows(rows: Sequence[RunRow], table: RunTable) -> Iterator[str]:
    """What to know of the early numbers and of what they are held against, in sentences."""
    used = [row for row in rows if row.outcome != EXCLUDED]
    early = [row.early for row in used]
    if early and max(early) > min(early) * (1 + SAME_MOMENT):
        begin, end = count(round(min(early))), count(round(max(early)))
        yield (
            f"the early checkpoints stand at {begin} to {end}, more than 2 % apart: what looks like a "
            "difference between runs may be one of time"
        )
    widths = sorted({row.width for row in used})
    if len(widths) > 1:
        yield f"widths {', '.join(map(str, widths))}: the window is scaled with the width"
    partial = [row for row in used if row.status is not Status.OK]
    if partial:
        first = partial[0]
        yield f"{len(partial)} early number(s) are {first.status.value}, {first.name}: {first.reason}"
    families = Counter(row.family for row in used if row.role == "known")
    number = families.total()
    if number and number < ENOUGH_POOLED and max(families.values()) < ENOUGH_IN_A_FAMILY:
        yield (
            f"{number} runs; take nothing for settled below {ENOUGH_IN_A_FAMILY} in one family or "
            f"{ENOUGH_POOLED} over families"
        )
    of_layers: dict[tuple[int, ...], str] = {}
    for row in used:
        of_layers.setdefault(row.layers, row.name)
    if len(of_layers) > 1:
        told = "; ".join(f"{','.join(map(str, of))} in {name}" for of, name in of_layers.items())
        yield f"the runs are not averaged over the same layers: {told}"
    fitted = [row for row in used if row.role == "known"]
    for name, values in candidates(fitted).items():
        if lacking := [r.name for r, value in zip(fitted, values, strict=True) if not math.isfinite(value)]:
            yield f"{name} is not among the baselines: nothing says it of {', '.join(lacking)}"
    usable = {part for name in usable_baselines(table) for part in name.split(" + ")}
    tried = dict.fromkeys(part for name in table.baselines for part in name.split(" + "))
    dropped = [name for name in tried if name not in usable]
    if dropped and number > 1:
        yield (
            "not a baseline, since it is the same in all runs of a family or follows from the others: "
            f"{', '.join(dropped)}"
        )


def about_predictions(rows: Sequence[RunRow], table: RunTable, unit: str) -> Iterator[str]:
    """What to know of the predictions, in sentences."""
    fitted = table.finite().families
    alone = [
        f for f, at in zip(table.families, table.response, strict=True) if at < math.inf and f not in fitted
    ]
    if alone and fitted:
        yield (
            f"left out of the regressions: {len(alone)} run(s) that reached the target alone in their family "
            f"({', '.join(dict.fromkeys(alone))})"
        )
    for row in rows:
        wanted = row.outcome != EXCLUDED and (row.outcome != REACHED or row.role == "new")
        if wanted and row.prediction is None and fitted and row.family not in fitted:
            reason = f"no two known runs of its family, {row.family}, reached the target"
            if any(family != row.family for family in fitted):
                reason += "; --family none takes all runs together"
            yield f"{row.name}: no forecast, since {reason}"
        if row.outcome == CENSORED and row.prediction is not None and row.prediction.value < row.seen:
            predicted, seen = count(round(row.prediction.value)), count(round(row.seen))
            yield (
                f"{row.name}: predicted at {predicted} {unit}, but has not reached the target by {seen}: the "
                "forecast failed there"
            )
