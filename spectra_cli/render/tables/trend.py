"""Trends with batch size: how many sites rise or fall, then the clearest ones with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spectra_cli.analysis.compare.quantities import statistic_words
from spectra_cli.core.measurements import measurement_words
from spectra_cli.core.words.numbers import count
from spectra_cli.core.words.places import place_words
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.render.output import Fields, plain
from spectra_cli.render.table import Part, Table, key, line, number, words

if TYPE_CHECKING:
    from spectra_cli.analysis.batch_size.trend import BatchTrend

SHOWN = 12
_TREND = Fields(
    "measurement=of.measurement statistic=of.statistic site=of.site.address target=of.target values=of.runs "
    "num_runs slope scatter noise interpolated floor low high degrees order margin=of.margin p_value "
    "adjusted verdict"
)


def trend_report(
    found: Sequence[BatchTrend], runs: Mapping[str, int], at: str, caveats: Sequence[str]
) -> Iterator[Part]:
    """What rises and falls with the batch size at one aligned point.

    Args:
        found: the trends at this point.
        runs: name of each run -> tokens of one of its steps.
        at: the point in words ("loss 3.2812").
        caveats: of the trends.
    """
    sizes = ", ".join(f"{name} {count(size)}" for name, size in sorted(runs.items(), key=lambda r: r[1]))
    clear = sum(t.verdict in ("rising", "falling") for t in found)
    yield line("")
    yield line(
        f"Trend with batch size at {at}: {clear} of {counted(len(found), 'number')} "
        f"{agreed(clear, 'rises or falls', 'rise or fall')}",
        style="bold",
    )
    yield line(f"tokens a step: {sizes}; slopes are for a doubling of the batch")
    yield _counts(found)
    yield _clearest(found)
    yield from (line(f"- {caveat}", style="dim", hang=2) for caveat in caveats)


def as_document(found: Sequence[BatchTrend]) -> list[dict[str, Any]]:
    """The trends as JSON values."""
    return [
        _TREND.of(t) | {"values": [None if run is None else plain(run.value) for run in t.of.runs]}
        for t in found
    ]


def _counts(found: Sequence[BatchTrend]) -> Table:
    """One row a statistic: over how many sites it does what."""
    rows = []
    groups: dict[tuple[str, str], list[BatchTrend]] = {}
    for t in found:
        groups.setdefault((t.of.measurement, t.of.statistic), []).append(t)
    for (measurement, statistic), trends in groups.items():
        verdicts = [t.verdict.value for t in trends]
        slopes = [t.slope for t in trends if math.isfinite(t.slope)]
        rows.append(
            [
                measurement_words(measurement),
                statistic_words(statistic),
                str(len(trends)),
                *(str(verdicts.count(word)) for word in ("rising", "falling", "flat", "inconclusive")),
                str(sum(t.order is not None for t in trends)),
                f"{float(np.median(slopes)):+.3g}" if slopes else "-",
            ]
        )
    counted = ("sites", "rising", "falling", "flat", "open", "in order", "median\nslope")
    return Table(
        title="By number",
        columns=[key("of"), key("number"), *map(number, counted)],
        rows=rows,
        notes=[line("in order: the means of all sizes rise, or fall, at every step", style="dim")],
    )


def _clearest(found: Sequence[BatchTrend]) -> Table:
    """The trends with the smallest p-values."""
    known = sorted((t for t in found if math.isfinite(t.p_value)), key=lambda t: t.p_value)[:SHOWN]
    left = sum(math.isfinite(t.p_value) for t in found) - len(known)
    more = f" ({left} more in --json)" if left else ""
    return Table(
        title=f"The clearest trends{more}",
        columns=[
            key("place"),
            key("number"),
            *map(number, ("slope", "95 % interval", "p\ncorrected", "probe\nerror")),
            words("verdict"),
        ],
        rows=[
            [
                place_words(t.of.measurement, t.of.site),
                statistic_words(t.of.statistic),
                f"{t.slope:+.3g}",
                f"{t.low:+.3g} to {t.high:+.3g}",
                f"{t.adjusted:.2g}",
                "-" if math.isnan(t.noise) else f"{t.noise:.1g}",
                t.verdict.value,
            ]
            for t in known
        ],
    )
