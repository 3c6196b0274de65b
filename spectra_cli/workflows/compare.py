"""Compare runs at equal loss, step or tokens: where they differ, and whether beyond the noise."""

from __future__ import annotations

import math
import os

from threadpoolctl import threadpool_limits

from spectra_cli.analysis.compare.quantities import known_names, plain_name
from spectra_cli.analysis.comparison import CompareRequest, Comparison, comparison_of
from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.process.heap import kept_heap
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.workflows.runs import open_runs, place_among


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
        runs = open_runs(request.runs, so="there is nothing to compare, and no verdict")
        baseline, seeds = _roles(request)
        return comparison_of(runs, request, baseline=baseline, seeds=seeds)


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
        raise UnknownNameError(f"nothing to compare is called {named}. Known: {', '.join(known)}")
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
            runs = [os.fspath(run) for run in request.runs]
            meant = did_you_mean(os.fspath(name), runs)
            raise UnknownNameError(
                f"{flag} {os.fspath(name)}{meant} is not among the runs: {', '.join(runs)}"
            )
        places.append(place)
    baseline, *seeds = places
    if baseline in seeds:
        raise UsageError("--replicates names the baseline itself; expected other seeds of its recipe")
    if len(set(seeds)) < len(seeds):
        raise UsageError("--replicates names a run twice; expected different seeds of the baseline's recipe")
    return baseline, seeds
