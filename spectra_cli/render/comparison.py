"""A comparison of runs: where they stand, the verdict in words, the strongest differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from spectra_cli.core.numbers import count, with_error
from spectra_cli.core.wording import place_words, statistic_words
from spectra_cli.render.console import WIDTH
from spectra_cli.render.tables import plain_table, titled
from spectra_cli.render.taxonomy import taxonomy_overview, taxonomy_report
from spectra_cli.render.tidy import finite
from spectra_cli.render.trend import trend_report

if TYPE_CHECKING:
    from spectra_cli.analysis.alignment import AlignedPoint, Alignment
    from spectra_cli.analysis.differences import SiteDifference
    from spectra_cli.workflows.compare import Comparison, Pair
    from spectra_cli.workflows.compared_runs import Run

MOST_ROWS = 15
_MOST_RUNS = 5
_LOSS = {
    "probe": "probe loss (measured by the scan on its probe)",
    "validation": "validation loss (as the training stack wrote it)",
    "train": "training loss (as the training stack wrote it)",
}


def heading(comparison: Comparison) -> RenderableType:
    """Which runs are compared, and on what they are aligned."""
    lines = Text()
    for letter, run in zip(_letters(len(comparison.runs)), comparison.runs, strict=True):
        lines.append(f"{letter}  {run.name}", style="bold")
        lines.append(f"  {_described(run)}\n")
    alignment = comparison.alignment
    lines.append(f"{_aligned(alignment)}; ± is one standard error")
    for note in alignment.notes:
        lines.append(f"\n{note}", style="yellow")
    return lines


def _letters(number: int) -> list[str]:
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(number)]


def _described(run: Run) -> str:
    info, number = run.info, len(run.archive)
    size = run.batch_size_tokens
    batch = "" if size is None else f", batches of {count(size)} tokens"
    return (
        f"{info.architecture}, {count(info.num_parameters)} parameters, "
        f"{number} checkpoint{'s' * (number != 1)}{batch}"
    )


def _aligned(alignment: Alignment) -> str:
    what = _LOSS[alignment.loss] if alignment.loss is not None else alignment.axis.value
    if alignment.is_matched:
        return f"matched on {what}"
    gap = max(point.gap for point in alignment.points)
    unit = " nats" if alignment.loss is not None else ""
    return f"compared near equal {what}: not matched, up to {gap:.4g}{unit} apart"


def alignment_table(comparison: Comparison) -> RenderableType:
    """Between which checkpoints each run stands at each point, and how far from the nearer one."""
    alignment, runs = comparison.alignment, comparison.runs[:_MOST_RUNS]
    unit = {"loss": "nats", "step": "steps"}.get(alignment.axis.value, alignment.axis.value)
    table = plain_table()
    table.add_column(f"{alignment.loss} loss" if alignment.loss is not None else alignment.axis.value)
    for letter, run in zip(_letters(len(runs)), runs, strict=True):
        table.add_column(f"{letter} {run.name}"[:18], no_wrap=True)
    gaps = any(point.gap for point in alignment.points)
    table.add_column(f"to the nearer\n({unit})", justify="right", no_wrap=True)
    if gaps:
        table.add_column(f"apart\n({unit})", justify="right", no_wrap=True)
    for point in alignment.points:
        cells = [_between(run, point, place) for place, run in enumerate(runs)]
        cells.append(f"{max(place.bracket.gap for place in point.places):.3g}")
        table.add_row(target_words(point.target), *cells, *([f"{point.gap:.3g}"] if gaps else []))
    left = len(comparison.runs) - len(runs)
    notes = [Text(f"{left} more runs; --json has where they stand", style="dim")] if left else []
    legend = "to the nearer: from the point to the nearer of its two checkpoints, in the run where it is most"
    return titled("Aligned points: between which steps", table, Text(legend, style="dim"), *notes)


def _between(run: Run, point: AlignedPoint, place: int) -> str:
    bracket, refs = point.places[place].bracket, run.archive.refs
    before, after = (refs[index].key.removeprefix("step") for index in (bracket.before, bracket.after))
    if before == after or bracket.share == 0.0:
        return before
    return after if bracket.share == 1.0 else f"{before} - {after}"


def target_words(target: float) -> str:
    """A target as a reader writes it: counts in full, losses with four decimals."""
    return f"{target:.0f}" if target == round(target) else f"{target:.4f}"


def pair_tables(comparison: Comparison, pair: Pair) -> Iterator[RenderableType]:
    """The verdict on one pair, its strongest differences, and what to know about them."""
    first, second = (comparison.runs[place].name for place in (pair.first, pair.second))
    verdict = Text("\n".join(fill(f"- {line}", WIDTH, subsequent_indent="  ") for line in pair.verdict))
    yield Group(Text(), Text(f"{second} against {first}", style="bold"), verdict)
    for note in pair.notes:
        yield Text(fill(note, WIDTH), style="yellow")
    judged = [d for d in pair.differences if d.standing not in ("exact", "missing")]
    if any(one.found.delta != 0.0 for one in judged):
        above = any(one.is_different for one in judged)
        title = "Strongest differences" if above else "Largest differences; none counts as different"
        legend = [Text(fill(_LEGEND, WIDTH), style="dim")] if pair is comparison.pairs[-1] else []
        yield _differences(comparison, pair, judged, title, legend)
        return
    exact = [d for d in pair.differences if d.standing == "exact" and d.found.delta != 0.0]
    if exact:
        exact.sort(key=lambda one: -abs(one.found.delta) / one.found.margin)
        yield _differences(comparison, pair, exact, "Largest differences, exact: there is no noise floor", [])


_LEGEND = (
    "≠ different, = equal within its margin, ? neither shown, ~ no more than interpolation between "
    "checkpoints may have added; n/m: different at n of m points. Different: at least the floor, and beyond "
    "chance among all numbers compared (false discovery rate 5 %). The floor is what two probes of this size "
    "may show: of a number one standard error (1 SE), of a distance what equal models stay below in 95 % of "
    "cases"
)


def _differences(
    comparison: Comparison,
    pair: Pair,
    found: Sequence[SiteDifference],
    title: str,
    legend: Sequence[RenderableType],
) -> RenderableType:
    """Each number at the point at which it differs most, the strongest first."""
    by_place: dict[tuple[str, str, str], list[SiteDifference]] = {}
    for one in found:
        by_place.setdefault((one.measurement, one.site.address, one.statistic), []).append(one)
    table = plain_table(gap=2)
    for name in ("place", "number"):
        table.add_column(name, overflow="fold")
    letters = _letters(len(comparison.runs))
    a, b = letters[pair.first], letters[pair.second]
    judged = found[0].standing != "exact"
    for name in (f"at {comparison.alignment.axis.value}", a, b, f"{b} - {a}", *["floor"] * judged):
        table.add_column(name, justify="right", no_wrap=True)
    if judged:
        table.add_column("≠ at", no_wrap=True)
    shown = list(by_place.values())[:MOST_ROWS]
    for points in shown:
        table.add_row(*_row(points))
    left = len(by_place) - len(shown)
    more = [Text(f"{left} more numbers: --format csv, --json", style="dim")] if left else []
    return titled(title, table, *more, *legend)


def taxonomy_line(comparison: Comparison, pair: Pair) -> Iterator[RenderableType]:
    """The label at the last point, with its reason."""
    if pair.taxonomy:
        last = pair.taxonomy[-1]
        at = f"{comparison.alignment.axis.value} {target_words(last.target)}"
        line = (
            f"taxonomy: {last.label} ({last.confidence}, at {at}): {last.reason}; --taxonomy has the evidence"
        )
        yield Text(fill(line, WIDTH, subsequent_indent="  "))


def taxonomy_tables(comparison: Comparison, pair: Pair) -> Iterator[RenderableType]:
    """The label at each point, and what it rests on at the last one."""
    if not pair.taxonomy:
        return
    axis = comparison.alignment.axis.value
    if len(pair.taxonomy) > 1:
        yield taxonomy_overview(pair.taxonomy, axis)
    last = pair.taxonomy[-1]
    yield from taxonomy_report(last, f"{axis} {target_words(last.target)}")


def rotation_table(pair: Pair) -> Iterator[RenderableType]:
    """How far leading subspaces have turned, or why that cannot be said."""
    if pair.no_rotation:
        yield Text(fill(f"rotation of leading subspaces: none shown: {pair.no_rotation}", WIDTH), style="dim")
        return
    table = plain_table()
    table.add_column("place", no_wrap=True)
    for name in ("side", "k", "overlap", "chance", "mean angle", "largest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    shown = sorted(pair.rotations, key=lambda one: one.overlap)[:MOST_ROWS]
    for one in shown:
        table.add_row(
            place_words(one.measurement, one.site),
            one.side,
            str(one.rank),
            f"{one.overlap:.4f}",
            f"{one.chance:.3f}",
            f"{one.mean_degrees:.2f}°",
            f"{one.max_degrees:.2f}°",
            "*" if one.reason else "",
        )
    notes = [
        Text(f"* {reason}", style="dim") for reason in dict.fromkeys(o.reason for o in shown if o.reason)
    ]
    left = len(pair.rotations) - len(shown)
    more = [Text(f"{left} more: --json", style="dim")] if left else []
    yield titled(
        "Leading subspaces, most turned first (equal spectra say nothing about them)", table, *notes, *more
    )


def trend_tables(comparison: Comparison) -> Iterator[RenderableType]:
    """The trend with batch size at the last point, or why there is none."""
    trend = comparison.trend
    if trend.reason:
        yield Text(f"\nno trend with batch size: {trend.reason}", style="dim")
    if not trend.trends:
        return
    axis, target = comparison.alignment.axis.value, comparison.alignment.points[-1].target
    sizes = {run.name: run.batch_size_tokens or 0 for run in comparison.runs}
    here = [one for one in trend.trends if one.of.target == target]
    yield from trend_report(here, sizes, f"{axis} {target_words(target)}", trend.caveats)


_MARKS = {"different": "≠", "equal": "=", "inconclusive": "?"}


def _row(points: Sequence[SiteDifference]) -> list[str]:
    """The number at the first of its points, and at how many it is different."""
    one = points[0]
    found = one.found
    cells = [
        place_words(one.measurement, one.site, one.other),
        statistic_words(one.statistic),
        target_words(one.target),
        _plain(found.first),
        _plain(found.second),
        with_error(found.delta, found.stderr),
    ]
    if one.standing == "exact":
        return cells
    mark = _MARKS[one.standing]
    mark += "~" * (one.standing == "inconclusive" and one.interpolated >= abs(found.delta) > 0)
    often = f"{sum(other.is_different for other in points)}/{len(points)}"
    return [*cells, _floor(one), f"{mark} {often}"]


def _floor(one: SiteDifference) -> str:
    """The noise floor with what it is: a standard error of a number, a quantile of a distance."""
    if finite(one.found.floor) is None:
        return ""
    return f"{one.found.floor:.2g} {'95 %' if one.is_distance else '1 SE'}"


def _plain(value: float) -> str:
    return "" if finite(value) is None else f"{value:.4g}"
