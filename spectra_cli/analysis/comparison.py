"""Runs held against a baseline: differences, what kind of change they are of, the trend with batch size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spectra_cli.analysis.alignment import Alignment, align
from spectra_cli.analysis.batch_size.over_runs import BatchSizeTrend, batch_size_trend
from spectra_cli.analysis.compare.aligned.points import Point, points_of
from spectra_cli.analysis.compare.comparable import Comparable, comparable
from spectra_cli.analysis.compare.differences import (
    Choice,
    SiteDifference,
    SiteLeftOut,
    decided,
    differences_at,
    left_out,
)
from spectra_cli.analysis.compare.findings import Counts, counts, strongest_first
from spectra_cli.analysis.compare.rotations import At, SiteRotation, turned_between
from spectra_cli.analysis.compare.sentences import finding_lines, relative_notes, summary_lines
from spectra_cli.analysis.compare.sites import unknown_depth
from spectra_cli.analysis.run import Axis, Loss, Run, notices_of
from spectra_cli.analysis.taxonomy.classified import loss_stderr, taxonomies, why_no_taxonomy
from spectra_cli.analysis.taxonomy.labels import Taxonomy
from spectra_cli.core.errors import UsageError
from spectra_cli.core.measurements import EXACT
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.shown import Shown
from spectra_cli.core.words.names import listed

MOST_SITES = 6


def last_point_only(choice: Choice, num_points: int, *, at_every_point: bool) -> list[str]:
    """That weights are compared at the last of several points alone."""
    exact = [name for name in choice.measurements or () if name in EXACT]
    if not exact or at_every_point or num_points < 2:
        return []
    why = "there is no noise to judge them by; --measure names what is compared at every point"
    return [f"{' and '.join(exact)}: compared at the last point alone ({why})"]


def point_notes(first: Point, second: Point, choice: Choice, names: tuple[str, str]) -> list[str]:
    """What does not depend on the place: unknown depths, losses with blocks of their own."""
    notes = [unknown_depth(first.before, second.before)]
    for point, name in zip((first, second), names, strict=True):
        apart = [
            f"{measurement} of {point.before.provenance.setting_facts.samples_of(measurement)} sequences"
            for measurement in choice.measurements or ()
            if measurement not in EXACT and point.moves and not point.has_blocks_of(measurement)
        ]
        if apart:
            sizes = f"the loss is of {sum(point.loss_sizes)} sequences, {' and '.join(apart)}"
            notes.append(f"{name}: {sizes}: the errors of both are added as if they were independent")
    return [note for note in notes if note]


def left_out_notes(found: Iterable[SiteLeftOut], names: tuple[str, str]) -> list[str]:
    """One note for the places of a measurement that were left out for the same reason."""
    sites: dict[tuple[bool, str, str], dict[str, None]] = defaultdict(dict)
    for one in found:
        sites[one.of_second, one.measurement, one.reason][one.site.address] = None
    return [
        f"not compared: {measurement} of {names[of_second]} at "
        f"{listed(map(_short, addresses), MOST_SITES, of=' places')}: {reason}"
        for (of_second, measurement, reason), addresses in sites.items()
    ]


def _short(address: str) -> str:
    return address.removeprefix("blocks.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """What the user asks of a comparison.

    Attributes:
        runs: archives, or folders that were scanned, two or more.
        axis: what to make equal; loss: which one, None for the first that all runs have.
        number: of aligned points; at: the points themselves, instead.
        choice: measurements, statistics and layers.
        baseline: the run that all others are compared with, one of `runs`; None for the first.
        allowed: aspects of the measurement that may differ.
        replicates: those of `runs` that are other seeds of the baseline's recipe.
        throughput_ratio: tokens a second of the other run over the baseline's, where it was measured.
    """

    runs: tuple[AnyPath, ...]
    axis: Axis = Axis.LOSS
    loss: Loss | None = None
    number: int = 5
    at: tuple[float, ...] | None = None
    choice: Choice = field(default_factory=Choice)
    baseline: AnyPath | None = None
    allowed: tuple[str, ...] = ()
    replicates: tuple[AnyPath, ...] = ()
    throughput_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparedPair:
    """The baseline and one other run.

    Attributes:
        first, second: A and B, places in the comparison's `runs`.
        paired: measured on the same probe, so that its noise is common to both.
        differences: B minus A, decided, the strongest first.
        counts: how they came out; findings: what moved, in sentences, the strongest first; verdict: these
            and the counts in sentences.
        taxonomy: at each point of matched losses; no_taxonomy: why there is none.
        rotations: of leading subspaces; no_rotation: why there are none.
        rotated: the checkpoints of A and of B that these are of, nearest to the last point; empty without.
        notes: what was measured differently, and what was not compared and why.
    """

    first: int
    second: int
    paired: bool
    differences: tuple[SiteDifference, ...]
    counts: Counts
    findings: tuple[str, ...]
    verdict: tuple[str, ...]
    taxonomy: tuple[Taxonomy, ...]
    no_taxonomy: str
    rotations: tuple[SiteRotation, ...]
    no_rotation: str
    rotated: tuple[At, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Comparison(Shown):
    """Runs compared with a baseline, corrected for everything that was looked at.

    Attributes:
        baseline: place in `runs`.
        trend: with batch size, where three or more runs differ in it.
    """

    runs: tuple[Run, ...]
    baseline: int
    alignment: Alignment
    pairs: tuple[ComparedPair, ...]
    trend: BatchSizeTrend


@dataclass(slots=True, kw_only=True)
class _Found:
    """What was found between the baseline and one run, point by point."""

    differences: list[SiteDifference] = field(default_factory=list)
    loss_errors: dict[float, float] = field(default_factory=dict)
    left_out: list[SiteLeftOut] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)


def comparison_of(
    runs: tuple[Run, ...], request: CompareRequest, *, baseline: int, seeds: Sequence[int] = ()
) -> Comparison:
    """Differences of the runs at common points, with standard errors, noise floors and verdicts.

    Args:
        runs: two or more; baseline: the place of the one that the others are held against.
        seeds: places of other seeds of the baseline's recipe.

    Raises:
        ArchiveError: an archive is damaged.
        UsageError: the runs share no number to compare.
        DataError: they were not measured in the same way, or have no point in common.
    """
    others = [place for place in range(len(runs)) if place != baseline]
    common = {
        place: comparable(runs[baseline], runs[place], request.choice, request.allowed) for place in others
    }
    alignment = align(runs, request.axis, loss=request.loss, number=request.number, at=request.at)
    found = _point_by_point(runs, baseline, common, alignment)
    if not any(one.differences for one in found.values()):
        raise UsageError(_nothing_in_common(runs, request))
    # each pair by itself: a third run that differs everywhere must not loosen what is said of the second
    for one in found.values():
        one.differences = decided(one.differences)
    pairs = []
    for place in others:
        of_seeds = [found[seed].differences for seed in seeds if place not in seeds]
        pairs.append(
            _pair(runs, (baseline, place), found[place], alignment, common[place], request, of_seeds)
        )
    return Comparison(
        runs=runs,
        baseline=baseline,
        alignment=alignment,
        pairs=tuple(pairs),
        trend=batch_size_trend(
            [runs[place] for place in (baseline, *others)],
            [one.differences for one in found.values()],
            paired=all(one.paired for one in common.values()),
        ),
    )


def _point_by_point(
    runs: Sequence[Run], baseline: int, common: Mapping[int, Comparable], alignment: Alignment
) -> dict[int, _Found]:
    """All differences of each other run from the baseline, not decided yet."""
    found = {place: _Found() for place in common}
    for aligned, points in zip(alignment.points, points_of(runs, alignment), strict=True):
        first, target = points[baseline], aligned.target
        for place, one in found.items():
            second, paired = points[place], common[place].paired
            choice = common[place].choice_at(last=aligned is alignment.points[-1])
            names = runs[baseline].name, runs[place].name
            one.loss_errors[target] = loss_stderr(first, second, paired=paired)
            one.differences += differences_at(first, second, target=target, paired=paired, choice=choice)
            one.left_out += left_out(first, second, choice)
            one.notes |= dict.fromkeys(point_notes(first, second, choice, names))
    return found


def _pair(
    runs: Sequence[Run],
    places: tuple[int, int],
    found: _Found,
    alignment: Alignment,
    common: Comparable,
    request: CompareRequest,
    of_seeds: Sequence[Sequence[SiteDifference]],
) -> ComparedPair:
    differences = found.differences
    first, second = (runs[place] for place in places)
    findings = tuple(finding_lines(differences, axis=alignment.axis.value, other=second.name))
    names = first.name, second.name
    no_taxonomy = why_no_taxonomy(differences, request.choice, alignment, places)
    labels: tuple[Taxonomy, ...] = ()
    if not no_taxonomy:
        labels = taxonomies(
            runs,
            places,
            differences,
            alignment,
            loss_errors=found.loss_errors,
            replicates=of_seeds,
            throughput_ratio=request.throughput_ratio,
        )
    asked_for_labels = bool(request.replicates) or request.throughput_ratio is not None
    turned = turned_between(runs, places, alignment, common.choice)
    return ComparedPair(
        first=places[0],
        second=places[1],
        paired=common.paired,
        differences=tuple(strongest_first(differences)),
        counts=counts(differences),
        findings=findings,
        verdict=(*findings, *summary_lines(differences, second.name)),
        taxonomy=labels,
        no_taxonomy=no_taxonomy,
        rotations=turned.rotations,
        no_rotation=turned.reason,
        rotated=turned.between,
        notes=(
            *notices_of([first, second]),
            *common.notes,
            *relative_notes(differences),
            *found.notes,
            *last_point_only(common.choice, len(alignment.points), at_every_point=common.at_every_point),
            *left_out_notes(found.left_out, names),
            *turned.notes(names),
            *([f"no taxonomy: {no_taxonomy}"] if no_taxonomy and asked_for_labels else []),
        ),
    )


def _nothing_in_common(runs: Sequence[Run], request: CompareRequest) -> str:
    layers = {s.site.layer for s in runs[0].checkpoint(0).spectra}
    held = ", ".join(str(layer) for layer in sorted(x for x in layers if x is not None))
    chosen = request.choice.layers
    asked = "" if chosen is None else f" of layers {', '.join(map(str, chosen))}"
    return f"the runs share no number{asked} to compare; {runs[0].name} holds layers {held}"
