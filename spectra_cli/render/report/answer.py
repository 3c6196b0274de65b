"""What a page says first: what happened inside, in sentences made from the values by the rules below."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectra_cli.analysis.batch_size.trend import Direction
from spectra_cli.analysis.comparison import ComparedPair, Comparison
from spectra_cli.analysis.drift.over_series import FIRST, DriftReport
from spectra_cli.analysis.phases.over_run import Phases
from spectra_cli.analysis.phases.segments import FEWEST_CHECKPOINTS
from spectra_cli.analysis.run import PROBE_LOSS, Loss, Run
from spectra_cli.analysis.taxonomy.labels import Label
from spectra_cli.core.measurements import ACTIVATIONS, EXACT, GRADIENTS, WEIGHTS, measurement_words
from spectra_cli.core.types import FloatArray, Site, StatisticValue
from spectra_cli.core.words.numbers import count, target_words, with_error
from spectra_cli.core.words.places import place_words
from spectra_cli.render.outputs.phases import verdict_words
from spectra_cli.render.report.measured import Measured
from spectra_cli.statistics.jackknife import standard_error

_SURE = 2.0  # standard errors: what counts as a change of one place
_TURN = 3.0  # standard errors by which a turning point lies beyond both ends
_EXACT_TURN = 0.05  # share of an end, of what has no errors
# of each measurement the number that its sentence is about, and what its places are called
_TOLD: Mapping[str, tuple[str, str]] = {
    ACTIVATIONS: ("rankme_cov", "layers"),
    GRADIENTS: ("rankme_cov", "matrices"),
    WEIGHTS: ("stable_rank", "matrices"),
}
_WORDS = {"rankme_cov": "effective rank", "stable_rank": "stable rank"}
_MOST_FINDINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence of an answer.

    Attributes:
        text: the sentence.
        section: the part of the page that shows it.
        is_caveat: it limits the others.
    """

    text: str
    section: str
    is_caveat: bool = False


def of_training(
    run: Run, found: Sequence[Measured], phases: Phases | None, drift: DriftReport | None
) -> Iterator[Sentence]:
    """What happened in one run."""
    yield _loss(run)
    for one in found:
        if one.name in _TOLD:
            yield from _moved(run, one)
    if phases is not None:
        yield _phases(phases)
    if drift is not None:
        yield from _drift(drift)
    for words in run.series.notices:
        yield Sentence(text=f"{words.rstrip('.')}.", section="checkpoints", is_caveat=True)


def _loss(run: Run) -> Sentence:
    refs = run.series.refs
    kind = next((one for one in Loss if np.isfinite(run.losses(one)).any()), None)
    many = f"{len(refs)} checkpoints" if len(refs) > 1 else "one checkpoint"
    if kind is None:
        text = f"{many.capitalize()}, {_from_to(run, 0, len(refs) - 1)}; no loss is known."
        return Sentence(text=text, section="checkpoints")
    losses = run.losses(kind)
    known = np.flatnonzero(np.isfinite(losses)).tolist()
    name = kind.words.partition(" (")[0].capitalize()
    first, last = known[0], known[-1]
    error = _loss_error(run, last) if kind is Loss.PROBE else math.nan
    reached = with_error(float(losses[last]), error)
    if first == last:
        return Sentence(text=f"{name} {reached} at {refs[last].key}.", section="checkpoints")
    change, noise = losses[last] - losses[first], 0.0
    if kind is Loss.PROBE:
        noise = _SURE * float(np.nan_to_num(np.hypot(_loss_error(run, first), error)))
    verb = "fell" if change < -noise else "rose" if change > noise else "was not shown to move"
    text = f"{name} {verb} from {losses[first]:.4g} to {reached}, {_from_to(run, first, last)} ({many})."
    return Sentence(text=text, section="checkpoints")


def _loss_error(run: Run, place: int) -> float:
    """The standard error of the probe's loss at one checkpoint."""
    replicates = run.series.replicates_over(PROBE_LOSS)[place]
    rows = np.array([run.losses(Loss.PROBE)[place], *replicates])
    return standard_error(rows, (1,) * replicates.size)


def _from_to(run: Run, first: int, last: int) -> str:
    refs = run.series.refs
    if first == last:
        return refs[first].key
    tokens = run.tokens[last]
    after = f", {count(round(tokens))} tokens" if np.isfinite(tokens) else ""
    return f"from {checkpoint_name(run, first)} to {checkpoint_name(run, last)}{after}"


def checkpoint_name(run: Run, place: int) -> str:
    """A checkpoint by its step, or by its place where steps are not known."""
    ref = run.series.refs[place]
    return ref.key if ref.step is not None or ref.label else f"checkpoint {place + 1} of {len(run.series)}"


def _moved(run: Run, found: Measured) -> Iterator[Sentence]:
    """How a measurement's number moved between the first and the last checkpoint, place by place."""
    statistic, places = _TOLD[found.name]
    values = found.statistics.get(statistic, {})
    exact = found.name in EXACT
    paths = {
        one.address: path
        for one in found.sites
        if (path := path_of(values, one, len(run.series), exact=exact))
    }
    changes = {address: path.change for address, path in paths.items()}
    words = f"{_WORDS[statistic]} of {measurement_words(found.name)}"
    if not changes:
        return
    if not any(np.isfinite(change).all() for change in changes.values()):
        text = f"{words.capitalize()}: no standard errors, by which a change could be judged."
        yield Sentence(text=text, section="training")
        return
    sites = {one.address: one for one in found.sites}
    rose = [a for a, (change, error) in changes.items() if change > _SURE * error]
    fell = [a for a, (change, error) in changes.items() if change < -_SURE * error]
    told = [f"{verb} in {len(of)}" for verb, of in (("rose", rose), ("fell", fell)) if of]
    judged = f"{' and '.join(told) or 'was not shown to move'} {'of' if told else 'in any of'} "
    by_size = sorted([*rose, *fell], key=lambda address: -abs(paths[address].log_change))
    most = ""
    if by_size:
        path = paths[by_size[0]]
        where = place_words(found.name, sites[by_size[0]])
        most = f", most in {where}: {path.words(run)}"
    yield Sentence(text=f"{words.capitalize()}: {judged}{len(changes)} {places}{most}.", section="training")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """A number at one place over the checkpoints that have it.

    Attributes:
        at: (n,) places in the series; values: (n,); errors: (n,) NaN where they are not known, 0 of what is
            measured exactly.
    """

    at: tuple[int, ...]
    values: FloatArray
    errors: FloatArray

    @property
    def change(self) -> tuple[float, float]:
        """From the first to the last, with its standard error."""
        error = float(np.hypot(self.errors[0], self.errors[-1]))
        return float(self.values[-1] - self.values[0]), error

    @property
    def log_change(self) -> float:
        """The logarithm of the last over the first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.nan_to_num(np.log(self.values[-1] / self.values[0])))

    @property
    def turn(self) -> int | None:
        """Where it lies farthest beyond both ends, by more than three standard errors; None if never.

        What is measured exactly has to lie beyond them by a twentieth of their size.
        """
        best, farthest = None, 0.0
        for place in range(1, self.values.size - 1):
            away = [self.values[place] - self.values[end] for end in (0, -1)]
            errors = [
                _TURN * float(np.hypot(self.errors[place], self.errors[end]))
                or _EXACT_TURN * abs(float(self.values[end]))
                for end in (0, -1)
            ]
            beyond = all(one > error for one, error in zip(away, errors, strict=True)) or all(
                -one > error for one, error in zip(away, errors, strict=True)
            )
            if beyond and min(map(abs, away)) > farthest:
                best, farthest = place, min(map(abs, away))
        return best

    def words(self, run: Run) -> str:
        """From where to where, by way of its turn."""
        turn = self.turn
        chosen = [0, *([] if turn is None else [turn]), self.values.size - 1]
        return " → ".join(
            f"{with_error(float(self.values[one]), self._error(one))} at {checkpoint_name(run, self.at[one])}"
            for one in chosen
        )

    def _error(self, place: int) -> float:
        return float(self.errors[place]) or float("nan")


def path_of(
    values: Mapping[tuple[int, str], StatisticValue], site: Site, num: int, *, exact: bool = False
) -> Path | None:
    """A number's path at a site; None with fewer than two values."""
    there = [(place, values.get((place, site.address))) for place in range(num)]
    known = [(place, one) for place, one in there if one is not None and np.isfinite(one.value)]
    if len(known) < 2:
        return None
    return Path(
        at=tuple(place for place, _ in known),
        values=np.array([one.value for _, one in known]),
        errors=np.array([0.0 if exact else one.stderr for _, one in known]),
    )


def _phases(found: Phases) -> Sentence:
    if len(found.points) < FEWEST_CHECKPOINTS:
        return Sentence(text=f"Phases: {verdict_words(found)}.", section="phases")
    if not found.has_structure:
        over = f"layer {found.layer} over {len(found.points)} checkpoints"
        return Sentence(text=f"No phase structure was found in {over}.", section="phases")
    told = [
        f"{one.name} up to {count(round(found.points[one.last].position))} {found.unit}"
        for one in found.segments
    ]
    return Sentence(text=f"Phases of layer {found.layer}: {', then '.join(told)}.", section="phases")


def _drift(found: DriftReport) -> Iterator[Sentence]:
    pairs = found.against(FIRST)
    if not pairs:
        return
    last = pairs[-1]
    moved = [one for one in last.sites if one.measurement == WEIGHTS and np.isfinite(one.shift)]
    if moved:
        most = max(moved, key=lambda one: one.shift)
        where = place_words(most.measurement, most.site)
        yield Sentence(
            text=f"Spectra of weights moved most in {where}: by {most.shift:.2g} of their norm from "
            f"{last.before} to {last.after}, the median matrix by "
            f"{float(np.median([one.shift for one in moved])):.2g}.",
            section="drift",
        )


def of_difference(found: Comparison) -> Iterator[Sentence]:
    """Where several runs differ, above which noise, and of which side it is."""
    for pair in found.pairs:
        yield from _pair(found, pair)
    if trends := found.trend.trends:
        clear = sum(one.verdict in (Direction.RISING, Direction.FALLING) for one in trends)
        yield Sentence(
            text=f"{clear} of {len(trends)} numbers rise or fall with batch size over the runs.",
            section="compare",
        )


def _pair(found: Comparison, pair: ComparedPair) -> Iterator[Sentence]:
    first, second = (found.runs[place].name for place in (pair.first, pair.second))
    axis = found.alignment.axis.value
    points = [target_words(one.target, axis) for one in found.alignment.points]
    equal = "equal" if found.alignment.is_matched else "nearly equal"
    where = f"{equal} {axis} ({', '.join(points)})"
    tally = pair.counts
    if tally.different:
        yield Sentence(
            text=f"{second} differs from {first} at {where}: {tally.different} of {tally.judged} numbers, "
            "beyond the probe's noise and corrected for all that was looked at.",
            section="compare",
        )
        for words in pair.findings[:_MOST_FINDINGS]:
            yield Sentence(text=_sentence(words), section="compare")
    else:
        yield Sentence(
            text=f"{second} was not shown to differ from {first} at {where}, in any of {tally.judged} "
            f"numbers ({tally.equal} are equal within their margins).",
            section="compare",
        )
        yield Sentence(
            text="What it would take to see less: noise falls with the square root of the probe, so that "
            "four times as many sequences show differences half as large.",
            section="compare",
            is_caveat=True,
        )
    if pair.taxonomy:
        label = pair.taxonomy[-1]
        at = target_words(label.target, axis)
        said = f"The change is {label.label}"
        if label.label is Label.INCONCLUSIVE:
            said = "Whether the change is learning-side or execution-side is open"
        yield Sentence(
            text=f"{said} ({label.confidence}, at {axis} {at}): {label.reason.rstrip('.')}.",
            section="compare",
        )
        yield from (
            Sentence(text=_sentence(words), section="compare", is_caveat=True) for words in label.caveats[:1]
        )
    elif pair.no_taxonomy:
        yield Sentence(
            text=_sentence(f"learning-side or execution-side cannot be told: {pair.no_taxonomy}"),
            section="compare",
            is_caveat=True,
        )
    for words in pair.notes:  # they begin with the name of a run, which stays as it is
        yield Sentence(text=f"{words.rstrip('.')}.", section="compare", is_caveat=True)


def _sentence(words: str) -> str:
    words = words.strip().rstrip(".:")
    return f"{words[:1].upper()}{words[1:]}."


def not_compared(reason: str, runs: Sequence[tuple[Run, Sequence[Measured]]]) -> Iterator[Sentence]:
    """That several runs could not be compared, and why; and what happened in each."""
    yield Sentence(
        text="These runs could not be compared as asked: nothing is said of their difference.",
        section="compare",
    )
    yield Sentence(text=f"{reason.rstrip('.')}.", section="compare", is_caveat=True)
    for run, found in runs:
        for one in of_training(run, found, None, None):
            yield replace(one, text=f"{run.name}: {one.text}")
