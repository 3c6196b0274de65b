"""The tables of a study: its runs, what its archives say, and the finding in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from spectra_cli.analysis.compare.quantities import statistic_words
from spectra_cli.core.words.numbers import count, finite, loss, rate, target_words
from spectra_cli.render.table import Part, Table, key, line, number, words
from spectra_cli.render.tables.compare import trend_tables
from spectra_cli.render.tables.forecast import tables as forecast_tables
from spectra_cli.render.tables.taxonomy import parts, taxonomy_report

if TYPE_CHECKING:
    from spectra_cli.analysis.batch_size.signature import SignatureRow
    from spectra_cli.analysis.comparison import ComparedPair, Comparison
    from spectra_cli.analysis.taxonomy.labels import Taxonomy
    from spectra_cli.workflows.study import Study, StudyRun

    Pairs = Mapping[str, ComparedPair]

_TITLES = {
    "batch-size": "Do spectra at equal loss tell the batch size?",
    "early-tail": "Does the early tail exponent tell how many tokens a run needs?",
    "taxonomy": "Do interventions come out on the side that they are known to be on?",
}
_SCALE = (
    "Decoders of three layers on a toy task: what holds here need not hold for language models, and the "
    "other way round."
)


def tables(found: Study) -> Iterator[Part]:
    """Everything a study prints."""
    yield line(_TITLES[found.study], style="bold")
    yield _runs_table(found)
    if found.forecast is not None:
        yield line("")
        yield from forecast_tables(found.forecast)
    elif found.comparison is not None and found.study == "batch-size":
        yield from _batch_size(found, found.comparison)
    elif found.comparison is not None:
        yield from _taxonomy(found, found.comparison)
    yield line("")
    for notice in found.notices:
        yield line(notice, style="yellow")
    yield line(_SCALE, style="dim")
    yield line(f"archives: {found.folder}", style="dim")


def _runs_table(found: Study) -> Table:
    missed = sum(not run.reached for run in found.runs)
    note = f"{missed} did not reach it: marked !" if missed else "all reached it"
    told = f"saved four times an octave of tokens, so that the last loss lies below; {note}"
    titles = ("tokens\na step", "learning\nrate", "seed", "steps", "tokens", "validation\nloss")
    return Table(
        title=f"{len(found.runs)} runs, each trained to validation loss {found.target_loss:g}",
        columns=[key("run"), words("optimiser"), *map(number, titles)],
        rows=[_run_cells(run) for run in found.runs],
        notes=[line(told, style="dim")],
    )


def _run_cells(run: StudyRun) -> list[str]:
    return [
        run.name,
        run.optimizer,
        count(run.batch_size_tokens),
        rate(run.learning_rate),
        str(run.seed),
        str(run.steps),
        count(run.tokens),
        loss(finite(run.loss)) + ("" if run.reached else "!"),
    ]


# ----------------------------------------------------------------------------- batch size


def _batch_size(found: Study, comparison: Comparison) -> Iterator[Part]:
    last = comparison.alignment.points[-1].target
    at = f"probe loss {target_words(last)}"
    trend = comparison.trend
    if not trend.trends:
        yield line("")
        yield line(f"no trend: {trend.reason}", style="yellow")
        return
    yield _signature_table(found.signature, at)
    for statistic in dict.fromkeys(row.trend.of.statistic for row in found.signature):
        yield line(f"- {_in_words(statistic, found.signature)}")
    yield from trend_tables(comparison)
    yield _along_the_runs(comparison)


def _signature_table(rows: tuple[SignatureRow, ...], at: str) -> Table:
    """Means by batch size, beside both floors."""
    cells = []
    for row in rows:
        trend = row.trend
        cells.append(
            [
                statistic_words(trend.of.statistic),
                str(trend.of.site.layer),
                *(f"{mean:.3f}" if finite(mean) is not None else "-" for mean in row.means.values()),
                f"{row.noise:.1g}" if finite(row.noise) is not None else "-",
                f"{row.seed_spread:.1g}" if finite(row.seed_spread) is not None else "-",
                f"{trend.low:+.2f} to {trend.high:+.2f}" if finite(trend.low) is not None else "-",
                "open" if trend.verdict.value == "inconclusive" else trend.verdict.value,
            ]
        )
    note = line(
        "means over the seeds of each batch size (tokens a step); probe error: standard error of one run; "
        "seed spread: standard deviation over the seeds of one batch size; verdicts are corrected for every "
        "number at every matched loss; open: neither a trend nor shown flat",
        style="dim",
    )
    sizes = [number(count(size)) for size in (rows[0].means if rows else ())]
    return Table(
        title=f"Activations at {at}, numbers named beforehand",
        columns=[
            key("statistic"),
            key("layer", is_number=True),
            *sizes,
            *map(number, ("probe\nerror", "seed\nspread", "a doubling\n(95 %)")),
            words("verdict"),
        ],
        rows=cells,
        notes=[note],
    )


def _in_words(statistic: str, signature: tuple[SignatureRow, ...]) -> str:
    rows = [row for row in signature if row.trend.of.statistic == statistic]
    verdicts = Counter(row.trend.verdict.value for row in rows)
    told = ", ".join(f"{word} in {times} of {len(rows)} layers" for word, times in verdicts.most_common())
    return f"{statistic_words(statistic)} with the batch size: {told}"


def _along_the_runs(comparison: Comparison) -> Table:
    """How many trends there are at each aligned point."""
    verdicts = ("rising", "falling", "flat", "inconclusive")
    rows = []
    for point in comparison.alignment.points:
        found = Counter(t.verdict.value for t in comparison.trend.trends if t.of.target == point.target)
        loss_words = target_words(point.target)
        rows.append([loss_words, str(found.total()), *(str(found[word]) for word in verdicts)])
    return Table(
        title="Trends at each matched loss",
        columns=[key("probe loss", is_number=True), number("numbers"), *map(number, verdicts)],
        rows=rows,
    )


# ----------------------------------------------------------------------------- taxonomy


def _taxonomy(found: Study, comparison: Comparison) -> Iterator[Part]:
    last = comparison.alignment.points[-1].target
    at = f"probe loss {target_words(last)}"
    pairs, seeds = by_name(comparison), by_name(found.over_seeds)
    yield _answers(found, pairs, seeds, at)
    yield _at_each_loss(found, pairs, seeds)
    if seeds:
        yield _against_seeds({name: seeds[name].taxonomy[-1] for name in found.interventions}, at)
    for name in found.interventions:
        for one in pairs[name].taxonomy[-1:]:
            yield line("")
            yield line(name, style="bold underline")
            yield from taxonomy_report(one, at)


def by_name(comparison: Comparison | None) -> Pairs:
    """The pairs by the run that is held against the baseline."""
    if comparison is None:
        return {}
    return {comparison.runs[pair.second].name: pair for pair in comparison.pairs}


def _label(pair: ComparedPair | None, place: int) -> str:
    """What a pair came out as at an aligned point."""
    return "-" if pair is None or not pair.taxonomy else pair.taxonomy[place].label.value


def _answers(found: Study, pairs: Pairs, seeds: Pairs, at: str) -> Table:
    """One row a run: what is known of it, and what came out."""
    rows = []
    for name, pair in pairs.items():
        known = found.interventions.get(name)
        labels = (_label(pair, -1), _label(seeds.get(name) if known else None, -1))
        counted = f"{pair.counts.different} of {pair.counts.judged}"
        rows.append([name, f"{known}-side" if known else "another seed", *labels, counted])
    note = line(
        "these checkpoints: against the probe's noise alone; over the seeds: against the replicate floor "
        "too; different: numbers beyond the probe's noise, over all matched losses",
        style="dim",
    )
    return Table(
        title=f"Against the first baseline at {at}",
        columns=[
            key("run"),
            *map(words, ("known to be", "these checkpoints", "over the seeds")),
            number("different"),
        ],
        rows=rows,
        notes=[note],
    )


def _at_each_loss(found: Study, pairs: Pairs, seeds: Pairs) -> Table:
    rows = []
    for name in found.interventions:
        for place, one in enumerate(pairs[name].taxonomy):
            loss_words = target_words(one.target)
            labels = (one.label.value, _label(seeds.get(name), place))
            rows.append(["" if place else name, loss_words, *labels, one.performance.tokens])
    return Table(
        title="At each matched loss",
        columns=[
            key("run"),
            *map(words, ("probe loss", "these checkpoints", "over the seeds", "tokens")),
        ],
        rows=rows,
    )


def _against_seeds(found: Mapping[str, Taxonomy], at: str) -> Table:
    """How far each intervention moved the numbers, and how far another seed does."""
    rows = []
    first = next(iter(found.values()))
    for place, (kind, evidence) in enumerate(parts(first)):
        for row, counted in enumerate(evidence.statistics):
            same = [parts(one)[place][1].statistics[row] for one in found.values()]
            deltas = [f"{one.delta:+.2g}" if finite(one.delta) is not None else "-" for one in same]
            floor = f"{counted.seed_floor:.2g}" if finite(counted.seed_floor) is not None else "-"
            rows.append(["" if row else kind, statistic_words(counted.statistic), *deltas, floor])
    note = line(
        "medians over the sites of the difference from the first baseline; another seed: the replicate "
        "floor, which two seeds of one recipe exceed once in twenty",
        style="dim",
    )
    return Table(
        title=f"Differences at {at}, and what another seed does",
        columns=[
            key("evidence"),
            key("statistic"),
            *(number(name.replace("-", "\n", 1)) for name in (*found, "another-seed")),
        ],
        rows=rows,
        notes=[note],
    )
