"""Sentences of captions that several figures need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.run import Axis, Run, notices_of
from spectra_cli.core.measurements import EXACT
from spectra_cli.core.types import Provenance, StatisticValue, Status
from spectra_cli.core.words.numbers import target_words

_MOST_REASONS = 4


def blocks_of(run: Run, measurement: str) -> int:
    """Blocks of the probe that spectra of a measurement are made of; 0 where there are none."""
    for checkpoint in run.checkpoints(range(len(run)), [measurement]):
        for spectrum in checkpoint.select(measurement):
            return len(spectrum.block_sizes)
    return 0


def measured_words(run: Run, measurement: str) -> str:
    """On what spectra were measured."""
    if measurement in EXACT:
        return "Measured exactly, on parameters alone: no probe, and no noise of one."
    return probe_words(run.series.provenance)


def probe_words(provenance: Provenance) -> str:
    """What was shown to every checkpoint."""
    probe = provenance.probe
    source = PurePath(probe.source).name or probe.format
    made = "synthetic tokens" if probe.synthetic else source
    return f"Probe: {probe.num_sequences} sequences of {probe.sequence_length} tokens of {made}."


def error_words(run: Run, measurement: str) -> str:
    """What bands and bars are; empty for what is measured exactly."""
    if measurement in EXACT:
        return ""
    num_blocks = blocks_of(run, measurement)
    if num_blocks < 2:
        return "No standard errors: the probe was not dealt into blocks."
    return f"Bands and bars: one standard error, by a jackknife over {num_blocks} blocks of the probe."


def matched_words(runs: Sequence[Run], alignment: Alignment) -> str:
    """At which point several runs are shown, and how far each is from it."""
    point = alignment.points[-1]
    what = alignment.axis.value if alignment.loss is None else f"{alignment.loss} loss"
    unit = alignment.axis.unit if alignment.axis is Axis.LOSS else ""
    at = f"{target_words(point.target, alignment.axis.value)} {unit}".strip()
    shown = ", ".join(
        f"{run.name} at {run.series.refs[run.places[place.bracket.nearer]].key}"
        for run, place in zip(runs, point.places, strict=True)
    )
    return f"At equal {what} ({at}), the checkpoint nearest to it: {shown}."


def archive_words(runs: Sequence[Run]) -> tuple[str, ...]:
    """What is to be known of the archives themselves."""
    return tuple(f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in notices_of(runs))


def withheld_words(values: Iterable[StatisticValue]) -> tuple[str, ...]:
    """Which numbers are not drawn, or only with a reservation, and why: counted by reason."""
    withheld: Counter[tuple[str, str]] = Counter()
    reserved: Counter[tuple[str, str]] = Counter()
    for value in values:
        if not value.status.has_value:
            withheld[value.name, value.reason] += 1
        elif value.status is not Status.OK:
            reserved[value.name, value.reason] += 1
    return (*_counted("Withheld", withheld), *_counted("With a reservation", reserved))


def _counted(head: str, reasons: Counter[tuple[str, str]]) -> list[str]:
    if not reasons:
        return []
    told = [
        f"{name} {count}x ({reason})" if count > 1 else f"{name} ({reason})"
        for (name, reason), count in reasons.most_common(_MOST_REASONS)
    ]
    more = sum(reasons.values()) - sum(count for _, count in reasons.most_common(_MOST_REASONS))
    return [f"{head}: {'; '.join(told)}{f'; and {more} more' if more else ''}."]
