"""A comparison of runs: where they stand, the verdict in words, the strongest differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spectra_cli.analysis.compare.quantities import statistic_words
from spectra_cli.core.words.numbers import count, finite, target_words, with_error
from spectra_cli.core.words.places import place_words
from spectra_cli.core.words.plurals import counted
from spectra_cli.render.table import Line, Part, Table, key, line, number, words
from spectra_cli.render.tables.taxonomy import taxonomy_overview, taxonomy_report
from spectra_cli.render.tables.trend import trend_report

if TYPE_CHECKING:
    from spectra_cli.analysis.alignment import AlignedPoint, Alignment
    from spectra_cli.analysis.compare.differences import SiteDifference
    from spectra_cli.analysis.comparison import ComparedPair, Comparison
    from spectra_cli.analysis.run import Run

MOST_ROWS = 15


def tables(comparison: Comparison, *, lists_evidence: bool) -> Iterator[Part]:
    """Where the runs stand, each pair, the trend with batch size."""
    yield from heading(comparison)
    yield alignment_table(comparison)
    for pair in comparison.pairs:
        labels = taxonomy_tables if lists_evidence else taxonomy_line
        yield from (*pair_tables(comparison, pair), *rotation_table(pair), *labels(comparison, pair))
    yield from trend_tables(comparison)


def heading(comparison: Comparison) -> Iterator[Line]:
    """Which runs are compared, and on what they are aligned."""
    for letter, run in zip(_letters(len(comparison.runs)), comparison.runs, strict=True):
        yield line((f"{letter}  {run.name}", "bold"), f"  {_described(run)}", hang=3)
    alignment = comparison.alignment
    yield line(f"{_aligned(alignment)}; ± is one standard error")
    for note in alignment.notes:
        yield line(note, style="yellow")


def _letters(number: int) -> list[str]:
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(number)]


def _described(run: Run) -> str:
    info, number = run.infos[-1], len(run)
    size = run.batch_size_tokens
    batch = "" if size is None else f", batches of {count(size)} tokens"
    return (
        f"{info.architecture}, {count(info.num_parameters)} parameters, "
        f"{number} checkpoint{'s' * (number != 1)}{batch}"
    )


def _aligned(alignment: Alignment) -> str:
    what = alignment.loss.words if alignment.loss is not None else alignment.axis.value
    if alignment.is_matched:
        return f"matched on {what}"
    gap = max(point.gap for point in alignment.points)
    words = f"{gap:.4g} nats" if alignment.loss is not None else count(round(gap))
    return f"compared near equal {what}: not matched, up to {words} apart"


def alignment_table(comparison: Comparison) -> Table:
    """Between which checkpoints each run stands at each point, and how far from the nearer one."""
    alignment, runs = comparison.alignment, comparison.runs
    unit = alignment.axis.unit
    point_title = f"{alignment.loss} loss" if alignment.loss is not None else alignment.axis.value
    gaps = any(point.gap for point in alignment.points)
    rows = []
    for point in alignment.points:
        cells = [_between(run, point, place) for place, run in enumerate(runs)]
        cells.append(_gap(max(place.bracket.gap for place in point.places), alignment.axis.value))
        rows.append(
            [
                target_words(point.target, alignment.axis.value),
                *cells,
                *([_gap(point.gap, alignment.axis.value)] if gaps else []),
            ]
        )
    legend = "to the nearer: from the point to the nearer of its two checkpoints, in the run where it is most"
    return Table(
        title="Aligned points: between which steps",
        columns=[
            key(point_title),
            *(words(f"{letter} {run.name}") for letter, run in zip(_letters(len(runs)), runs, strict=True)),
            number(f"to the nearer\n({unit})"),
            *[number(f"apart\n({unit})")] * gaps,
        ],
        rows=rows,
        notes=[line(legend, style="dim")],
    )


def _between(run: Run, point: AlignedPoint, place: int) -> str:
    bracket, refs = point.places[place].bracket, run.series.refs
    before, after = (refs[index].key.removeprefix("step") for index in (bracket.before, bracket.after))
    if before == after or bracket.share == 0.0:
        return before
    return after if bracket.share == 1.0 else f"{before} - {after}"


def _gap(gap: float, axis: str) -> str:
    return f"{gap:.3g}" if axis == "loss" else count(round(gap))


def pair_tables(comparison: Comparison, pair: ComparedPair) -> Iterator[Part]:
    """The verdict on one pair, its strongest differences, and what to know about them."""
    first, second = (comparison.runs[place].name for place in (pair.first, pair.second))
    yield line("")
    yield line(f"{second} against {first}", style="bold")
    yield from (line(f"- {sentence}", hang=2) for sentence in pair.verdict)
    yield from (line(note, style="yellow") for note in pair.notes)
    judged = _judged(pair)
    if judged:
        above = any(one.is_different for one in judged)
        title = "Strongest differences" if above else "Largest differences; none counts as different"
        last = [other for other in comparison.pairs if _judged(other)][-1]
        legend = [line(_LEGEND, style="dim")] if pair is last else []
        yield _differences(comparison, pair, judged, title, legend)
        return
    exact = [d for d in pair.differences if d.standing == "exact" and d.found.delta != 0.0]
    if exact:
        exact.sort(key=lambda one: -abs(one.found.delta) / one.found.margin)
        yield _differences(comparison, pair, exact, "Largest differences, exact: there is no noise floor", [])


def _judged(pair: ComparedPair) -> list[SiteDifference]:
    """The differences that were held against a floor, if any is not nil."""
    judged = [d for d in pair.differences if d.standing not in ("exact", "missing")]
    return judged if any(one.found.delta != 0.0 for one in judged) else []


_LEGEND = (
    "≠ different, = equal within its margin, ? neither shown, ~ no more than interpolation between "
    "checkpoints may have added; n/m: different at n of m points. Different: at least the floor, and beyond "
    "chance among all numbers compared (false discovery rate 5 %). The floor is what two probes of this size "
    "may show: of a number one standard error (1 SE), of a distance what equal models stay below in 95 % of "
    "cases"
)


def _differences(
    comparison: Comparison,
    pair: ComparedPair,
    found: Sequence[SiteDifference],
    title: str,
    legend: Sequence[Line],
) -> Table:
    """Each number at the point at which it differs most, the strongest first."""
    by_place: dict[tuple[str, str, str], list[SiteDifference]] = {}
    for one in found:
        by_place.setdefault((one.measurement, one.site.address, one.statistic), []).append(one)
    letters = _letters(len(comparison.runs))
    a, b = letters[pair.first], letters[pair.second]
    judged = found[0].standing != "exact"
    shown = list(by_place.values())[:MOST_ROWS]
    left = len(by_place) - len(shown)
    more = [line(f"{counted(left, 'more number')}: --format csv, --json", style="dim")] if left else []
    return Table(
        title=title,
        columns=[
            key("place"),
            key("number"),
            *map(number, (f"at {comparison.alignment.axis.value}", a, b, f"{b} - {a}", *["floor"] * judged)),
            *[words("≠ at")] * judged,
        ],
        rows=[_row(points, comparison.alignment.axis.value) for points in shown],
        notes=[*more, *legend],
    )


def taxonomy_line(comparison: Comparison, pair: ComparedPair) -> Iterator[Line]:
    """The label at the last point, with its reason."""
    if pair.taxonomy:
        last = pair.taxonomy[-1]
        at = target_named(comparison, last.target)
        told = (
            f"taxonomy: {last.label} ({last.confidence}, at {at}): {last.reason}; --taxonomy has the evidence"
        )
        yield line(told, hang=2)


def taxonomy_tables(comparison: Comparison, pair: ComparedPair) -> Iterator[Part]:
    """The label at each point, and what it rests on at the last one."""
    if not pair.taxonomy:
        return
    axis = comparison.alignment.axis.value
    if len(pair.taxonomy) > 1:
        yield taxonomy_overview(pair.taxonomy, axis)
    last = pair.taxonomy[-1]
    yield from taxonomy_report(last, target_named(comparison, last.target))


def rotation_table(pair: ComparedPair) -> Iterator[Part]:
    """How far leading subspaces have turned, or why that cannot be said."""
    if pair.no_rotation:
        yield line(f"rotation of leading subspaces: none shown: {pair.no_rotation}", style="dim")
        return
    shown = sorted(pair.rotations, key=lambda one: one.turn.overlap)[:MOST_ROWS]
    rows = [
        [
            place_words(one.measurement, one.site),
            one.side,
            str(one.turn.rank),
            f"{one.turn.overlap:.4f}",
            f"{one.turn.chance:.3f}",
            f"{one.turn.mean_degrees:.2f}°",
            f"{one.turn.max_degrees:.2f}°",
            "*" if one.reason else "",
        ]
        for one in shown
    ]
    notes = [
        line(f"* {reason}", style="dim") for reason in dict.fromkeys(o.reason for o in shown if o.reason)
    ]
    left = len(pair.rotations) - len(shown)
    more = [line(f"{left} more: --json", style="dim")] if left else []
    yield Table(
        title="Leading subspaces, most turned first (equal spectra say nothing about them)",
        columns=[
            key("place"),
            words("side"),
            *map(number, ("k", "overlap", "chance", "mean angle", "largest")),
            words(""),
        ],
        rows=rows,
        notes=[*notes, *more],
    )


def target_named(comparison: Comparison, target: float) -> str:
    """An aligned point in words: `loss 3.2812`, `tokens 34406`."""
    axis = comparison.alignment.axis.value
    return f"{axis} {target_words(target, axis)}"


def trend_tables(comparison: Comparison) -> Iterator[Part]:
    """The trend with batch size at the last point, or why there is none."""
    trend = comparison.trend
    if trend.reason:
        yield line("")
        yield line(f"no trend with batch size: {trend.reason}", style="dim")
    if not trend.trends:
        return
    target = comparison.alignment.points[-1].target
    sizes = {run.name: run.batch_size_tokens or 0 for run in comparison.runs}
    here = [one for one in trend.trends if one.of.target == target]
    yield from trend_report(here, sizes, target_named(comparison, target), trend.caveats)


_MARKS = {"different": "≠", "equal": "=", "inconclusive": "?"}


def _row(points: Sequence[SiteDifference], axis: str) -> list[str]:
    """The number at the first of its points, and at how many it is different."""
    one = points[0]
    found = one.found
    cells = [
        place_words(one.measurement, one.site, one.other),
        statistic_words(one.statistic),
        target_words(one.target, axis),
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
