"""Compare runs at equal loss, step or tokens: where they differ, and whether beyond the noise."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from spectra_cli.analysis.alignment import Alignment, align
from spectra_cli.analysis.batch_size.over_runs import BatchSizeTrend, batch_size_trend
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
from spectra_cli.analysis.compare.notes import last_point_only, left_out_notes, point_notes
from spectra_cli.analysis.compare.quantities import known_names, plain_name
from spectra_cli.analysis.compare.reading import points_of
from spectra_cli.analysis.compare.rotated import At, turned_between
from spectra_cli.analysis.compare.rotations import SiteRotation
from spectra_cli.analysis.compare.sentences import relative_notes, verdict_lines
from spectra_cli.analysis.run import Axis, Loss, Run
from spectra_cli.analysis.taxonomy.classified import loss_stderr, taxonomies, why_no_taxonomy
from spectra_cli.analysis.taxonomy.labels import Taxonomy
from spectra_cli.core.errors import UsageError
from spectra_cli.core.heap import kept_heap
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.suggestions import did_you_mean
from spectra_cli.workflows.runs import notices_of, open_runs, place_among


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
        counts: how they came out; verdict: the same in sentences.
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
    verdict: tuple[str, ...]
    taxonomy: tuple[Taxonomy, ...]
    no_taxonomy: str
    rotations: tuple[SiteRotation, ...]
    no_rotation: str
    rotated: tuple[At, ...]
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
    pairs: tuple[ComparedPair, ...]
    trend: BatchSizeTrend


@dataclass(slots=True, kw_only=True)
class _Found:
    """What was found between the baseline and one run, point by point."""

    differences: list[SiteDifference] = field(default_factory=list)
    loss_errors: dict[float, float] = field(default_factory=dict)
    left_out: list[SiteLeftOut] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)


def compare(request: CompareRequest) -> Comparison:
    """Differences of two or more runs at common points, with standard errors, noise floors and verdicts.

    Raises:
        UsageError: fewer than two runs, or a name that stands for nothing.
        ArchiveError: there is no such archive, or it is damaged.
        DataError: the runs were not measured in the same way, or have nothing in common.
    """
    _check(request)
    # thousands of arrays that the C library would not keep, of products too small to be shared out
    with kept_heap(), threadpool_limits(limits=1, user_api="blas"):
        return _compared(request)


def _compared(request: CompareRequest) -> Comparison:
    runs = open_runs(request.runs, so="there is nothing to compare, and no verdict")
    baseline, seeds = _roles(request)
    others = [place for place in range(len(runs)) if place != baseline]
    common = {
        place: comparable(runs[baseline], runs[place], request.choice, request.allowed) for place in others
    }
    alignment = align(
        runs,
        request.axis,
        loss=request.loss,
        number=request.number,
        at=request.at,
    )
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


def _check(request: CompareRequest) -> None:
    if len(request.runs) < 2:
        raise UsageError("compare needs two runs or more: archives, or folders that were scanned")
    if request.number < 1:
        raise UsageError(f"--points {request.number}: expected at least 1")
    at = request.at
    if at is not None and (not at or len(set(at)) < len(at) or not all(map(math.isfinite, at))):
        listed = ",".join(f"{target:g}" for target in at)
        raise UsageError(f"--at {listed or 'nothing'}: expected different numbers such as 3.5,3.28")
    known = known_names()
    unknown = [n for n in request.choice.statistics or () if plain_name(n) not in known]
    if unknown:
        named = ", ".join(f"{name}{did_you_mean(plain_name(name), known)}" for name in unknown)
        raise UsageError(f"nothing to compare is called {named}. Known: {', '.join(known)}")
    ratio = request.throughput_ratio
    if ratio is not None and not 0.0 < ratio < math.inf:
        raise UsageError(f"--throughput-ratio {ratio:g}: expected a ratio above 0, 1 for equal throughput")
    if ratio is not None and len(request.runs) > 2:
        raise UsageError("--throughput-ratio is of one run over the baseline: compare two runs")


def _roles(request: CompareRequest) -> tuple[int, list[int]]:
    """Places of the baseline and of its other seeds among the runs, however they are spelled."""
    places = []
    flags = [("--baseline", request.baseline or request.runs[0])]
    for flag, name in flags + [("--replicates", name) for name in request.replicates]:
        place = place_among(request.runs, name)
        if place is None:
            runs = ", ".join(os.fspath(run) for run in request.runs)
            raise UsageError(f"{flag} {os.fspath(name)} is not among the runs: {runs}")
        places.append(place)
    baseline, *seeds = places
    if baseline in seeds:
        raise UsageError("--replicates names the baseline itself; expected other seeds of its recipe")
    if len(set(seeds)) < len(seeds):
        raise UsageError("--replicates names a run twice; expected different seeds of the baseline's recipe")
    return baseline, seeds


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
        verdict=tuple(verdict_lines(differences, axis=alignment.axis.value, other=second.name)),
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
