"""How long a scan would take, and those that fit into ten minutes, an hour and a night where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENT, SCANNED, WEIGHTS
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.settings import PRESETS, ByDefault, ScanSettings
from spectra_cli.core.shown import Shown
from spectra_cli.workflows.estimates.scan_estimate import ScanEstimate, estimate, seconds_by_part
from spectra_cli.workflows.inspect import Inspection, Planned

BOUNDS = {"ten minutes": 600, "an hour": 3600, "a night": 8 * 3600}
# What is proposed takes at most this share: rates are measured anew when it is tried.
_SHARE = 0.7
# Checkpoints that show a course; with fewer something else is left out first.
_ENOUGH = 5
# Of the covariance probe: as the preset `quick`, then fewer, with which heads and ranks remain.
_SEQUENCES = (int(PRESETS["quick"].num_sequences), 1024, 256)
_COUNTED = {
    "num_sequences": "--sequences",
    "num_gradient_sequences": "--gradient-sequences",
    "sequence_length": "--sequence-length",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A scan that fits.

    Attributes:
        bound: `ten minutes`, `an hour` or `a night`.
        options: to be added behind those that were given; later ones win.
        seconds: of the whole scan.
        num_checkpoints: that it measures.
        resolves: what it gives, in words.
    """

    bound: str
    options: str
    seconds: float
    num_checkpoints: int
    resolves: str


def propose(found: Inspection, time: ScanEstimate, selection: SeriesSelection) -> tuple[Proposal, ...]:
    """One proposal for each bound that the scan as asked does not keep; none where it takes ten minutes.

    Args:
        found: the inspection, with a plan.
        time: of the scan as asked, and the rates that it rests on.
        selection: of checkpoints, as asked.
    """
    planned = found.planned
    if planned is None or time.seconds_of_all <= BOUNDS["ten minutes"]:
        return ()
    candidates = [
        (options, settings, seconds)
        for options, settings in _cheaper(planned, len(planned.series.skeleton.blocks))
        if (seconds := _seconds(planned, settings, time)) is not None
    ]
    exceeded = [(bound, most) for bound, most in BOUNDS.items() if time.seconds_of_all > most]
    proposals = (
        _within(bound, most, candidates, time.num_checkpoints, selection, width=found.width)
        for bound, most in exceeded
    )
    return tuple(proposal for proposal in proposals if proposal is not None)


_Candidate = tuple[str, ScanSettings, float]


def _within(
    bound: str,
    most: float,
    candidates: Sequence[_Candidate],
    number: int,
    selection: SeriesSelection,
    *,
    width: int,
) -> Proposal | None:
    """The first candidate that gives five checkpoints or all; else the first that gives any."""
    for least in (min(number, _ENOUGH), 1):
        for options, settings, seconds in candidates:
            count = min(number, int(_SHARE * most / seconds))
            if count < least:
                continue
            fewer, taken = _thinned(count, number, selection)
            return Proposal(
                bound=bound,
                options=" ".join(part for part in (options, fewer) if part),
                seconds=taken * seconds,
                num_checkpoints=taken,
                resolves=f"{_resolves(settings, width)}, {_share_of(taken, number)}",
            )
    return None


def _thinned(count: int, number: int, selection: SeriesSelection) -> tuple[str, int]:
    """The option that leaves at most `count` of the checkpoints, evenly spaced where it can, and how many."""
    if count >= number:
        return "", number
    if selection.last is not None or selection.limit is not None:
        return f"--limit {count}", count
    apart = -(-number // count)
    return f"--every {apart * (selection.every or 1)}", -(-number // apart)


def _cheaper(planned: Planned, num_layers: int) -> Iterator[tuple[str, ScanSettings]]:
    """Options and settings, from the one that gives most to the one that gives least."""
    asked = planned.settings
    yield "", asked
    for most in _SEQUENCES:
        options, shorter = _shortened(asked, most)
        yield options, shorter
    without = tuple(name for name in asked.measurements if name != ACTIVATIONS)
    if GRADIENT in without and len(without) < len(asked.measurements):
        words = ",".join(word for word, made_by in SCANNED.items() if made_by in without)
        yield f"{options} --measure {words}", replace(shorter, measurements=without)
    if WEIGHTS in asked.measurements and len(asked.measurements) > 1:
        alone = replace(asked, measurements=(WEIGHTS,))
        yield "--measure weights", alone
        few = ",".join(map(str, sorted({0, num_layers // 2, num_layers - 1})))
        yield f"--measure weights --layers {few}", replace(alone, layers=few)


def _shortened(asked: ScanSettings, most: int) -> tuple[str, ScanSettings]:
    """The preset `quick` with at most so many sequences, where nothing else was asked for; else what was
    asked for, with no more of anything than that has.
    """
    quick = PRESETS["quick"]
    by_default = all(isinstance(getattr(asked, name), ByDefault) for name in _COUNTED)
    if asked.preset == "default" and by_default and asked.layers == "all":
        settings = replace(
            asked,
            layers="five",
            num_sequences=ByDefault(most),
            num_gradient_sequences=quick.num_gradient_sequences,
            sequence_length=ByDefault(min(quick.sequence_length, asked.sequence_length)),
        )
        fewer = f" --sequences {most}" if most < quick.num_sequences else ""
        return f"--preset quick{fewer}", settings
    settings = replace(
        asked,
        layers="five" if asked.layers == "all" else asked.layers,
        num_sequences=min(most, int(asked.num_sequences)),
        num_gradient_sequences=min(int(quick.num_gradient_sequences), int(asked.num_gradient_sequences)),
        sequence_length=min(int(quick.sequence_length), int(asked.sequence_length)),
    )
    words = [f"{flag} {getattr(settings, name)}" for name, flag in _COUNTED.items()]
    return " ".join(words + ["--layers five"] * (asked.layers == "all")), settings


def _seconds(planned: Planned, settings: ScanSettings, time: ScanEstimate) -> float | None:
    """Seconds a checkpoint with these settings; None where they have no plan."""
    try:
        plan = planned.make_plan(planned.series.skeleton, settings)
    except SpectraError:
        return None
    return sum(seconds_by_part(planned, settings, plan, time.rates).values())


def _of_activations(num_sequences: int, width: int) -> str:
    """What so many sequences give of a residual stream, counted as one effective row each: 1.1 to 3.0 were
    measured.
    """
    from spectra_cli.statistics.exponents import ROWS_FOR_A_TAIL, ROWS_WITHOUT_BIAS

    per_dimension = num_sequences / width
    if per_dimension >= ROWS_WITHOUT_BIAS:
        return "heads, tails and ranks"
    if per_dimension >= ROWS_FOR_A_TAIL:
        return "heads, ranks and tails (marked partial)"
    return f"heads and ranks (tails take some {ROWS_FOR_A_TAIL * width} sequences)"


def _resolves(settings: ScanSettings, width: int) -> str:
    """What such a scan gives of each checkpoint, in words."""
    from spectra_cli.statistics.exponents import samples_for_tail

    parts = []
    if ACTIVATIONS in settings.measurements:
        given = _of_activations(int(settings.num_sequences), width)
        parts.append(f"{given} of activations from {settings.num_sequences} sequences")
    if GRADIENT in settings.measurements:
        enough = settings.num_gradient_sequences >= samples_for_tail()
        tails = "heads, tails and noise scale" if enough else "noise scale, no tails"
        parts.append(f"{tails} of gradients from {settings.num_gradient_sequences} sequences")
    if WEIGHTS in settings.measurements:
        parts.append("spectra of weights")
    layers = "all layers" if settings.layers == "all" else f"layers {settings.layers}"
    if settings.layers == "five":
        layers = "five layers"
    return f"{'; '.join(parts)}; {layers}"


def _share_of(taken: int, number: int) -> str:
    """How many of the checkpoints.

    >>> _share_of(3, 6), _share_of(2, 2), _share_of(1, 1)
    ('3 of 6 checkpoints', '2 checkpoints', '1 checkpoint')
    """
    return f"{taken} of {number} checkpoints" if taken < number else f"{taken} checkpoint{'s' * (taken != 1)}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Outlook(Shown):
    """A scan before it starts.

    Attributes:
        inspection: the series and the plan for it.
        time: that it takes; None without a plan.
        proposals: scans that fit where the one asked for takes more than ten minutes.
    """

    inspection: Inspection
    time: ScanEstimate | None
    proposals: tuple[Proposal, ...]


def outlook(found: Inspection, selection: SeriesSelection) -> Outlook:
    """The time of an inspected scan, and what fits into less; `selection`: of checkpoints, as asked.

    Rates are measured, which takes about a second.
    """
    time = estimate(found)
    proposals = () if time is None else propose(found, time, selection)
    return Outlook(inspection=found, time=time, proposals=proposals)
