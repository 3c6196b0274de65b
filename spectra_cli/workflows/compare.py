"""Compare runs at equal loss, step or tokens: where they differ, and whether beyond the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from spectra_cli.analysis.alignment import Alignment, Axis, Loss, align
from spectra_cli.analysis.comparability import are_paired, check_allowed, mismatches
from spectra_cli.analysis.differences import Choice, SiteDifference, decided, differences_at
from spectra_cli.analysis.findings import Counts, counts, strongest_first
from spectra_cli.analysis.quantities import known_names, plain_name
from spectra_cli.analysis.rotations import SiteRotation, rotations, why_no_rotation
from spectra_cli.analysis.taxonomy import Taxonomy
from spectra_cli.analysis.verdicts import relative_notes, verdict_lines
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.statistics.statistic import ACTIVATIONS, GRADIENT_MATRIX, GRADIENTS, WEIGHT_UPDATES, WEIGHTS
from spectra_cli.workflows.batch_size_trend import BatchSizeTrend, batch_size_trend
from spectra_cli.workflows.classified import loss_stderr, taxonomies
from spectra_cli.workflows.compared_runs import Run, nearest_to_last_point, open_runs, points_of

# what a user says -> the measurement; without a word, all of these but the uncentred gradients
MEASURES = {
    "activations": ACTIVATIONS,
    "gradients": GRADIENTS,
    "uncentred-gradients": GRADIENT_MATRIX,
    "weights": WEIGHTS,
    "updates": WEIGHT_UPDATES,
}
EXACT = (WEIGHTS, WEIGHT_UPDATES)
BY_DEFAULT = (ACTIVATIONS, GRADIENTS, WEIGHTS, WEIGHT_UPDATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """What the user asks of a comparison.

    Attributes:
        runs: archives, or folders that were scanned, two or more.
        axis: what to make equal; loss: which one, None for the first that all runs have.
        number: of aligned points; at: the points themselves, instead.
        choice: measurements, statistics and layers.
        baseline: the run that all others are compared with, as given in `runs`; None for the first.
        allowed: aspects of the measurement that may differ.
        replicates: runs that are other seeds of the baseline's recipe, as given in `runs`.
        throughput_ratio: tokens a second of the other run over the baseline's, where it was measured.
    """

    runs: tuple[str, ...]
    axis: Axis = Axis.LOSS
    loss: Loss | None = None
    number: int = 5
    at: tuple[float, ...] | None = None
    choice: Choice = field(default_factory=Choice)
    baseline: str | None = None
    allowed: tuple[str, ...] = ()
    replicates: tuple[str, ...] = ()
    throughput_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """The baseline and one other run.

    Attributes:
        first, second: A and B, places in the comparison's `runs`.
        paired: measured on the same probe, so that its noise is common to both.
        differences: B minus A, decided, the strongest first.
        counts: how they came out; verdict: the same in sentences.
        taxonomy: at each point; empty where not everything that it asks for was compared.
        rotations: of leading subspaces at the last point; no_rotation: why there are none.
        notes: what was measured differently, and what was not compared and why.
    """

    first: int
    second: int
    paired: bool
    differences: tuple[SiteDifference, ...]
    counts: Counts
    verdict: tuple[str, ...]
    taxonomy: tuple[Taxonomy, ...]
    rotations: tuple[SiteRotation, ...]
    no_rotation: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Runs compared with a baseline, corrected for everything that was looked at.

    Attributes:
        baseline: place in `runs`.
        trend: with batch size, where three or more runs differ in it.
    """

    runs: tuple[Run, ...]
    baseline: int
    alignment: Alignment
    pairs: tuple[Pair, ...]
    trend: BatchSizeTrend


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """What can be compared between the baseline and a run, and what the reader must know."""

    choice: Choice
    paired: bool
    notes: tuple[str, ...]
    asked_for: bool

    def choice_at(self, *, last: bool) -> Choice:
        """What is compared at a point: weights, which have no noise to judge by, only at the last one.

        At every point where the user named measurements.
        """
        if last or self.asked_for:
            return self.choice
        judged = tuple(name for name in self.choice.measurements or () if name not in EXACT)
        return replace(self.choice, measurements=judged)


def compare(request: CompareRequest) -> Comparison:
    """Differences of two or more runs at common points, with standard errors, noise floors and verdicts.

    Raises:
        UsageError: fewer than two runs, or a name that stands for nothing.
        ArchiveError: there is no such archive, or it is damaged.
        DataError: the runs were not measured in the same way, or have nothing in common.
    """
    _check(request)
    runs = open_runs(request.runs)
    baseline = 0 if request.baseline is None else request.runs.index(request.baseline)
    others = [place for place in range(len(runs)) if place != baseline]
    common = {place: _comparable(runs[baseline], runs[place], request) for place in others}
    alignment = align(
        [run.trajectory for run in runs],
        request.axis,
        loss=request.loss,
        number=request.number,
        at=request.at,
    )
    found: dict[int, list[SiteDifference]] = {place: [] for place in others}
    loss_errors: dict[int, dict[float, float]] = {place: {} for place in others}
    for aligned, points in zip(alignment.points, points_of(runs, alignment), strict=True):
        first, target = points[baseline], aligned.target
        for place in others:
            paired, choice = (
                common[place].paired,
                common[place].choice_at(last=aligned is alignment.points[-1]),
            )
            loss_errors[place][target] = loss_stderr(first, points[place], paired=paired)
            found[place] += differences_at(first, points[place], target=target, paired=paired, choice=choice)
    if not any(found.values()):
        raise UsageError(_nothing_in_common(runs, request))
    # each pair by itself: a third run that differs everywhere must not loosen what is said of the second
    by_run = {place: decided(differences) for place, differences in found.items()}
    seeds = [request.runs.index(name) for name in request.replicates]
    pairs = []
    for place in others:
        labels = (
            ()
            if request.choice != Choice()
            else taxonomies(
                runs,
                (baseline, place),
                by_run[place],
                alignment,
                loss_errors=loss_errors[place],
                replicates=[by_run[seed] for seed in seeds if place not in seeds],
                throughput_ratio=request.throughput_ratio,
            )
        )
        pairs.append(_pair(runs, (baseline, place), by_run[place], alignment, common[place], labels))
    return Comparison(
        runs=runs,
        baseline=baseline,
        alignment=alignment,
        pairs=tuple(pairs),
        trend=batch_size_trend(
            [runs[place] for place in (baseline, *others)],
            list(by_run.values()),
            paired=all(one.paired for one in common.values()),
        ),
    )


def _check(request: CompareRequest) -> None:
    if len(request.runs) < 2:
        raise UsageError("compare needs two runs or more: archives, or folders that were scanned")
    if request.number < 1:
        raise UsageError(f"--points {request.number}: expected at least 1")
    known = known_names()
    unknown = [n for n in request.choice.statistics or () if plain_name(n) not in known]
    if unknown:
        raise UsageError(f"nothing to compare is called {', '.join(unknown)}. Known: {', '.join(known)}")
    flags = [("--baseline", request.baseline), *(("--replicates", name) for name in request.replicates)]
    for flag, name in flags:
        if name is not None and name not in request.runs:
            raise UsageError(f"{flag} {name} is not among the runs: {', '.join(request.runs)}")
    if (request.baseline or request.runs[0]) in request.replicates:
        raise UsageError("--replicates names the baseline itself; expected other seeds of its recipe")
    if len(set(request.replicates)) < len(request.replicates):
        raise UsageError("--replicates names a run twice; expected different seeds of the baseline's recipe")
    if request.throughput_ratio is not None and len(request.runs) > 2:
        raise UsageError("--throughput-ratio is of one run over the baseline: compare two runs")


def _comparable(first: Run, second: Run, request: CompareRequest) -> _Common:
    """The measurements that both runs have, and whether they were made in the same way."""
    wanted = request.choice.measurements or BY_DEFAULT
    ours, theirs = (run.archive.measurements for run in (first, second))
    measurements = tuple(name for name in wanted if name in ours and name in theirs)
    if not measurements:
        raise DataError(
            f"{first.name} and {second.name} have no measurement in common to compare: the first holds "
            f"{', '.join(ours)}, the second {', '.join(theirs)}; asked for: {', '.join(wanted)}"
        )
    found = mismatches(first.archive.provenance, second.archive.provenance, measurements)
    notes = check_allowed(found, request.allowed, first=first.name, second=second.name)
    only = [
        f"{name}: measured in {first.name if name in ours else second.name} only, and not compared"
        for name in wanted
        if (name in ours) != (name in theirs)
    ]
    choice = Choice(
        measurements=measurements, statistics=request.choice.statistics, layers=request.choice.layers
    )
    return _Common(
        choice=choice,
        paired=are_paired(found),
        notes=(*notes, *only),
        asked_for=request.choice.measurements is not None or set(measurements) <= set(EXACT),
    )


def _pair(
    runs: Sequence[Run],
    places: tuple[int, int],
    differences: Sequence[SiteDifference],
    alignment: Alignment,
    common: _Common,
    taxonomy: tuple[Taxonomy, ...],
) -> Pair:
    first, second = (runs[place] for place in places)
    kept = [int(run.archive.provenance.settings.get("num_vectors", 0)) for run in (first, second)]
    why = why_no_rotation(first.archive.infos, second.archive.infos, (kept[0], kept[1]))
    found: tuple[SiteRotation, ...] = ()
    if not why:
        ends = [nearest_to_last_point(runs[place], place, alignment) for place in places]
        turned = rotations(ends[0].spectra, ends[1].spectra)
        found = tuple(one for one in turned if common.choice.wants(one.site, one.measurement))
    notes = (*common.notes, *relative_notes(differences))
    return Pair(
        first=places[0],
        second=places[1],
        paired=common.paired,
        differences=tuple(strongest_first(differences)),
        counts=counts(differences),
        verdict=tuple(verdict_lines(differences, axis=alignment.axis.value, other=second.name)),
        taxonomy=taxonomy,
        rotations=found,
        no_rotation=why,
        notes=notes,
    )


def _nothing_in_common(runs: Sequence[Run], request: CompareRequest) -> str:
    layers = {s.site.layer for s in runs[0].archive.checkpoint(0, vectors=False).spectra}
    held = ", ".join(str(layer) for layer in sorted(x for x in layers if x is not None))
    chosen = request.choice.layers
    asked = "" if chosen is None else f" of layers {', '.join(map(str, chosen))}"
    return f"the runs share no number{asked} to compare; {runs[0].name} holds layers {held}"
