"""A report as a value: its question and answer, what each run measured, figures and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

from spectra_cli.analysis.comparison import CompareRequest, Comparison
from spectra_cli.analysis.drift.over_series import DriftReport, drift_of
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.analysis.phases.over_run import Phases, phases_of
from spectra_cli.analysis.run import Axis, Loss, Run
from spectra_cli.core.errors import ArchiveError, DataError, UsageError
from spectra_cli.core.measurements import WEIGHTS
from spectra_cli.render.figures.compare import figure_of_comparison
from spectra_cli.render.figures.drift import figure_of_drift
from spectra_cli.render.figures.figure import Figure
from spectra_cli.render.figures.forecast import figure_of_forecast
from spectra_cli.render.figures.phases import figure_of_phases
from spectra_cli.render.figures.registry import figure_of
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.output import Output
from spectra_cli.render.outputs import compare as of_compare
from spectra_cli.render.outputs import drift as of_drift
from spectra_cli.render.outputs import forecast as of_forecast
from spectra_cli.render.outputs import phases as of_phases
from spectra_cli.render.report.answer import Sentence, not_compared, of_difference, of_training
from spectra_cli.render.report.measured import Measured, measured
from spectra_cli.workflows.compare import compare
from spectra_cli.workflows.forecast import forecast

Found = TypeVar("Found")
_FEWEST_FOR_A_FORECAST = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """A figure with the numbers behind it.

    Attributes:
        name: of the part of the page; title: its head.
        figure: None where it cannot be drawn; reason: why not.
        columns, rows: the numbers, as the command of its name writes them to CSV.
        notices: what limits their reading, in sentences.
    """

    name: str
    title: str
    figure: Figure | None = None
    reason: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    notices: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunContents:
    """One run of a report.

    Attributes:
        run: opened; measured: its spectra; left_out: measurements that have no statistics to show.
    """

    run: Run
    measured: tuple[Measured, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """Everything that a page says.

    Attributes:
        question: what it is about; answer: in sentences, what limits them last.
        loss: by which runs are set beside each other; None where they have none in common.
    """

    question: str
    answer: tuple[Sentence, ...]
    loss: Loss | None
    runs: tuple[RunContents, ...]
    sections: tuple[Section, ...]


def contents_of(request: PlotRequest, comparison: Comparison | None = None) -> Contents:
    """What there is to say of one run, or of several matched as the request asks.

    Args:
        comparison: of these runs, where one was made already: how they are matched is how it matched them.

    Raises:
        UsageError: two of the runs are the same, or one alone is to be matched.
        ArchiveError: an archive is not there, or damaged.
    """
    if len(request.runs) == 1 and (request.at is not None or request.align is not Axis.LOSS):
        raise UsageError("--align and --at say where several runs are matched; this report is of one run")
    runs = []
    for run in request.opened():
        found, left_out = measured(run)
        runs.append(RunContents(run=run, measured=found, left_out=left_out))
    if len(runs) == 1:
        return _of_one(request, runs[0])
    if comparison is None:
        asked = CompareRequest(
            runs=request.archives, axis=request.align, loss=request.loss, at=request.points
        )
        return _of_several(request, runs, _attempt(partial(compare, asked)))
    matched = comparison.alignment
    same = replace(request, align=matched.axis, loss=matched.loss, at=matched.points[-1].target)
    return _of_several(same, runs, _Attempt(found=comparison))


def _of_one(request: PlotRequest, one: RunContents) -> Contents:
    phases, drift = _phases(one.run), _drift(one.run)
    name, several = one.run.name, len(one.run.series) > 1
    return Contents(
        question=f"What happened inside {name} over its training?" if several else f"What is inside {name}?",
        answer=tuple(_caveats_last(of_training(one.run, one.measured, phases.found, drift.found))),
        loss=_common([one.run], request.loss),
        runs=(one,),
        sections=tuple(_of_run(request, one, phases, drift)),
    )


def _of_several(
    request: PlotRequest, runs: Sequence[RunContents], compared: _Attempt[Comparison]
) -> Contents:
    names = [one.run.name for one in runs]
    sections = [
        _section(
            "compare",
            f"What differs at equal {request.align}",
            compared,
            figure=lambda found: figure_of_comparison(found, request),
            output=of_compare.output,
        )
    ]
    if len(runs) >= _FEWEST_FOR_A_FORECAST:
        predicted = _attempt(partial(forecast, ForecastRequest(archives=request.archives, loss=request.loss)))
        sections.append(
            _section(
                "forecast",
                "What the early spectrum says of the tokens to a loss",
                predicted,
                figure=lambda found: figure_of_forecast(found, runs[0].run),
                output=of_forecast.output,
            )
        )
    for one in runs:
        sections += _of_run(request, one, _phases(one.run), _drift(one.run), named=True)
    if compared.found is None:
        answer = not_compared(compared.reason, [(one.run, one.measured) for one in runs])
    else:
        answer = of_difference(compared.found)
    return Contents(
        question=f"What differs inside {', '.join(names[:-1])} and {names[-1]}?",
        answer=tuple(_caveats_last(answer)),
        loss=_common([one.run for one in runs], request.loss),
        runs=tuple(runs),
        sections=tuple(sections),
    )


def _common(runs: Sequence[Run], asked: Loss | None) -> Loss | None:
    """The loss that is asked for, or the first of all runs; None where one of them does not have it."""
    kinds = list(Loss) if asked is None else [asked]
    return next((one for one in kinds if all(np.isfinite(run.losses(one)).any() for run in runs)), None)


def _of_run(
    request: PlotRequest,
    one: RunContents,
    phases: _Attempt[Phases],
    drift: _Attempt[DriftReport],
    *,
    named: bool = False,
) -> Iterator[Section]:
    """The figures of one run; `named`: among several."""
    run, of = one.run, f" of {one.run.name}" if named else ""
    alone = PlotRequest(runs=(run,))
    if len(run.series) > 1:
        yield _section(
            "phases",
            f"Phases{of}",
            phases,
            figure=lambda found: figure_of_phases(run, found),
            output=of_phases.output,
        )
    if WEIGHTS not in run.series.measurements:
        return
    if len(run.series) > 1:
        yield _section(
            "drift",
            f"Drift{of}",
            drift,
            figure=lambda found: figure_of_drift(run.name, found, alone),
            output=of_drift.output,
        )
    weights = _attempt(partial(figure_of, "weights", alone))
    yield Section(
        name="weights",
        title=f"Weights{of} against a random bulk",
        figure=weights.found,
        reason=weights.reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt(Generic[Found]):
    """What was found, or why nothing was."""

    found: Found | None = None
    reason: str = ""


def _attempt(make: Callable[[], Found]) -> _Attempt[Found]:
    """What there is to find, or why the archives do not hold it; a damaged archive is no such reason.

    Raises:
        ArchiveError: an archive is damaged.
    """
    try:
        return _Attempt(found=make())
    except ArchiveError:
        raise
    except (UsageError, DataError) as error:
        return _Attempt(reason=str(error))


def _phases(run: Run) -> _Attempt[Phases]:
    return _attempt(partial(phases_of, run))


def _drift(run: Run) -> _Attempt[DriftReport]:
    if WEIGHTS not in run.series.measurements or len(run.series) == 1:
        return _Attempt(reason="it holds no weights of two checkpoints")
    return _attempt(partial(drift_of, run.series))


def _section(
    name: str,
    title: str,
    attempt: _Attempt[Found],
    *,
    figure: Callable[[Found], Figure],
    output: Callable[[Found], Output],
) -> Section:
    found = attempt.found
    if found is None:
        return Section(name=name, title=title, reason=attempt.reason)
    drawn, told = _attempt(partial(figure, found)), output(found)
    return Section(
        name=name,
        title=title,
        figure=drawn.found,
        reason=drawn.reason,
        columns=told.columns,
        rows=tuple(told.rows()),
        notices=told.notices,
    )


def _caveats_last(answer: Iterator[Sentence]) -> list[Sentence]:
    return sorted(answer, key=lambda one: one.is_caveat)
