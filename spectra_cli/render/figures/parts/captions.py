"""Sentences of captions that several figures need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.run import Axis, Run, notices_of
from spectra_cli.core.measurements import EXACT
from spectra_cli.core.types import CheckpointRef, Provenance, StatisticValue, Status
from spectra_cli.core.words.numbers import target_words
from spectra_cli.render.figures.figure import Panel
from spectra_cli.render.figures.parts.drawn_signs import has_bands, has_bars, has_crosses
from spectra_cli.statistics.registry import DEFINITIONS

_MOST_REASONS = 4


def blocks_of(run: Run, measurement: str) -> int:
    """Blocks of the probe that spectra of a measurement are made of; 0 where there are none."""
    for checkpoint in run.checkpoints(range(len(run)), [measurement]):
        for spectrum in checkpoint.select(measurement):
            return len(spectrum.block_sizes)
    return 0


def measured_words(runs: Sequence[Run], measurement: str) -> str:
    """On what spectra were measured: of each run by name, where they are not alike."""
    if measurement in EXACT:
        return "Measured exactly, on parameters alone: no probe, and no noise of one."
    told = [probe_words(run.series.provenance) for run in runs]
    if len(set(told)) == 1:
        return told[0]
    return " ".join(
        f"{run.name}: {words[:1].lower()}{words[1:]}" for run, words in zip(runs, told, strict=True)
    )


def probe_words(provenance: Provenance) -> str:
    """What was shown to every checkpoint."""
    probe = provenance.probe
    source = PurePath(probe.source).name or probe.format
    made = "synthetic tokens" if probe.synthetic else source
    return f"Probe: {probe.num_sequences} sequences of {probe.sequence_length} tokens of {made}."


def error_words(panels: Sequence[Panel], runs: Sequence[Run], measurement: str) -> str:
    """What the bands and bars that are drawn are; empty for what is measured exactly."""
    if measurement in EXACT:
        return ""
    blocks = sorted({num for run in runs if (num := blocks_of(run, measurement)) > 1})
    if not blocks:
        return "No standard errors: the probe was not dealt into blocks."
    drawn = ["bands"] * has_bands(panels) + ["bars"] * has_bars(panels)
    if not drawn:
        return ""
    words, many = " and ".join(drawn).capitalize(), " or ".join(map(str, blocks))
    return f"{words}: one standard error, by a jackknife over {many} blocks of the probe."


def is_at_the_point(runs: Sequence[Run], alignment: Alignment) -> bool:
    """Whether of every run the checkpoint nearest to the last point stands at it, as written."""
    target = target_words(alignment.points[-1].target, alignment.axis.value)
    return all(words == target for words in _positions(runs, alignment))


def matched_title(runs: Sequence[Run], alignment: Alignment) -> str:
    """Where several runs are shown, for a title."""
    head = "at" if is_at_the_point(runs, alignment) else "nearest to"
    return f"{head} equal {alignment.axis}"


def matched_words(runs: Sequence[Run], alignment: Alignment) -> str:
    """Which checkpoints are shown for a matched point, each with where it stands itself."""
    point = alignment.points[-1]
    what = alignment.axis.value if alignment.loss is None else f"{alignment.loss} loss"
    unit = alignment.axis.unit if alignment.axis is Axis.LOSS else ""
    at = f"{target_words(point.target, alignment.axis.value)} {unit}".strip()
    keys = [
        run.series.refs[run.places[place.bracket.nearer]].key
        for run, place in zip(runs, point.places, strict=True)
    ]
    if is_at_the_point(runs, alignment):
        shown = [f"{run.name} at {key}" for run, key in zip(runs, keys, strict=True)]
        return f"At equal {what} ({at}): {', '.join(shown)}."
    shown = [
        f"{run.name} at {key} ({own})"
        for run, key, own in zip(runs, keys, _positions(runs, alignment), strict=True)
    ]
    return f"The checkpoints nearest to equal {what} ({at}): {', '.join(shown)}."


def _positions(runs: Sequence[Run], alignment: Alignment) -> list[str]:
    """Of the checkpoint of each run that is nearest to the last point: its own loss, step or tokens."""
    axis = alignment.axis
    values = [run.on(axis) if alignment.loss is None else run.losses(alignment.loss) for run in runs]
    places = [place.bracket.nearer for place in alignment.points[-1].places]
    return [target_words(float(own[place]), axis.value) for own, place in zip(values, places, strict=True)]


def when_words(refs: Iterable[Sequence[CheckpointRef]]) -> str:
    """Over which checkpoints of each run something is drawn, for a title."""
    every = [list(one) for one in refs]
    if any(len(one) > 1 for one in every):
        return "over training"
    keys = list(dict.fromkeys(ref.key for one in every for ref in one))
    return f"at {keys[0]}" if len(keys) == 1 else "at a single checkpoint of each"


def archive_words(runs: Sequence[Run]) -> tuple[str, ...]:
    """What is to be known of the archives themselves."""
    return tuple(f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in notices_of(runs))


def cross_words(panels: Sequence[Panel]) -> tuple[str, ...]:
    """What crosses at the lower end are, where there are any."""
    return ("× at the lower end: a value that is withheld.",) if has_crosses(panels) else ()


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
        f"{DEFINITIONS[name].title}{f' {count}x' if count > 1 else ''} ({reason})"
        for (name, reason), count in reasons.most_common(_MOST_REASONS)
    ]
    more = sum(reasons.values()) - sum(count for _, count in reasons.most_common(_MOST_REASONS))
    return [f"{head}: {'; '.join(told)}{f'; and {more} more' if more else ''}."]
