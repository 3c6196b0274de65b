"""A study: its runs, what its archives say, and the finding in a few lines; tables and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from spectra_cli.core.numbers import count, loss, rate
from spectra_cli.core.wording import statistic_words
from spectra_cli.render import comparison as comparison_rendering
from spectra_cli.render import comparison_document
from spectra_cli.render import forecast as forecast_rendering
from spectra_cli.render import taxonomy as taxonomy_rendering
from spectra_cli.render import trend as trend_rendering
from spectra_cli.render.tables import plain_table, titled
from spectra_cli.render.tidy import finite

if TYPE_CHECKING:
    from spectra_cli.analysis.taxonomy import Taxonomy
    from spectra_cli.workflows.compare import Comparison, Pair
    from spectra_cli.workflows.study import SignatureRow, Study, StudyRun

SCHEMA = "spectra.study/1"
_TITLES = {
    "batch-size": "Do spectra at equal loss tell the batch size?",
    "early-tail": "Does the early tail exponent tell how many tokens a run needs?",
    "taxonomy": "Do interventions come out on the side that they are known to be on?",
}
_SCALE = (
    "Decoders of three layers on a toy task: what holds here need not hold for language models, and the "
    "other way round."
)


def study_tables(found: Study) -> Iterator[RenderableType]:
    """Everything a study prints, at most 100 columns wide."""
    yield Text(_TITLES[found.study], style="bold")
    yield _runs_table(found)
    if found.forecast is not None:
        yield Text()
        yield from forecast_rendering.forecast_tables(found.forecast)
    elif found.comparison is not None and found.study == "batch-size":
        yield from _batch_size(found, found.comparison)
    elif found.comparison is not None:
        yield from _taxonomy(found, found.comparison)
    yield Text(f"\n{_SCALE}\narchives: {found.folder}", style="dim")


def _runs_table(found: Study) -> RenderableType:
    table = plain_table()
    table.add_column("run", overflow="fold")
    table.add_column("optimiser")
    for column in ("tokens\na step", "learning\nrate", "seed", "steps", "tokens", "validation\nloss"):
        table.add_column(column, justify="right", no_wrap=True)
    for run in found.runs:
        table.add_row(*_run_cells(run))
    missed = sum(not run.reached for run in found.runs)
    note = f"{missed} did not reach it: marked !" if missed else "all reached it"
    return titled(
        f"{len(found.runs)} runs, each trained to validation loss {found.target_loss:g}",
        table,
        Text(f"saved four times an octave of tokens, so that the last loss lies below; {note}", style="dim"),
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


def _batch_size(found: Study, comparison: Comparison) -> Iterator[RenderableType]:
    last = comparison.alignment.points[-1].target
    at = f"probe loss {comparison_rendering.target_words(last)}"
    trend = comparison.trend
    if not trend.trends:
        yield Text(f"\nno trend: {trend.reason}", style="yellow")
        return
    yield _signature_table(found.signature, at)
    for statistic in dict.fromkeys(row.trend.of.statistic for row in found.signature):
        yield Text(f"- {_in_words(statistic, found.signature)}")
    yield from comparison_rendering.trend_tables(comparison)
    yield _along_the_runs(comparison)


def _signature_table(rows: tuple[SignatureRow, ...], at: str) -> RenderableType:
    """Means by batch size, beside both floors."""
    table = plain_table()
    table.add_column("statistic", no_wrap=True)
    table.add_column("layer", justify="right", no_wrap=True)
    for size in rows[0].means if rows else ():
        table.add_column(f"{count(size)}", justify="right", no_wrap=True)
    for column in ("probe\nerror", "seed\nspread", "a doubling\n(95 %)"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        trend = row.trend
        table.add_row(
            statistic_words(trend.of.statistic),
            str(trend.of.site.layer),
            *(f"{mean:.3f}" if finite(mean) is not None else "-" for mean in row.means.values()),
            f"{row.noise:.1g}" if finite(row.noise) is not None else "-",
            f"{row.seed_spread:.1g}" if finite(row.seed_spread) is not None else "-",
            f"{trend.low:+.2f} to {trend.high:+.2f}" if finite(trend.low) is not None else "-",
            "open" if trend.verdict.value == "inconclusive" else trend.verdict.value,
        )
    note = Text(
        "means over the seeds of each batch size (tokens a step); probe error: standard error of one run; "
        "seed spread: standard deviation over the seeds of one batch size; verdicts are corrected for every "
        "number at every matched loss; open: neither a trend nor shown flat",
        style="dim",
    )
    return titled(f"Activations at {at}, numbers named beforehand", table, note)


def _in_words(statistic: str, signature: tuple[SignatureRow, ...]) -> str:
    rows = [row for row in signature if row.trend.of.statistic == statistic]
    verdicts = Counter(row.trend.verdict.value for row in rows)
    told = ", ".join(f"{word} in {times} of {len(rows)} layers" for word, times in verdicts.most_common())
    return f"{statistic_words(statistic)} with the batch size: {told}"


def _along_the_runs(comparison: Comparison) -> RenderableType:
    """How many trends there are at each aligned point."""
    table = plain_table()
    for column in ("probe loss", "numbers", "rising", "falling", "flat", "inconclusive"):
        table.add_column(column, justify="right", no_wrap=True)
    for point in comparison.alignment.points:
        verdicts = Counter(t.verdict.value for t in comparison.trend.trends if t.of.target == point.target)
        table.add_row(
            comparison_rendering.target_words(point.target),
            str(verdicts.total()),
            *(str(verdicts[word]) for word in ("rising", "falling", "flat", "inconclusive")),
        )
    return titled("Trends at each matched loss", table)


# ----------------------------------------------------------------------------- taxonomy


def _taxonomy(found: Study, comparison: Comparison) -> Iterator[RenderableType]:
    last = comparison.alignment.points[-1].target
    at = f"probe loss {comparison_rendering.target_words(last)}"
    pairs, seeds = _by_name(comparison), _by_name(found.over_seeds)
    yield _answers(found, pairs, seeds, at)
    yield _at_each_loss(found, pairs, seeds)
    if seeds:
        yield _against_seeds({name: seeds[name].taxonomy[-1] for name in found.interventions}, at)
    for name in found.interventions:
        for one in pairs[name].taxonomy[-1:]:
            yield Text(f"\n{name}", style="bold underline")
            yield from taxonomy_rendering.taxonomy_report(one, at)


def _by_name(comparison: Comparison | None) -> Mapping[str, Pair]:
    if comparison is None:
        return {}
    return {comparison.runs[pair.second].name: pair for pair in comparison.pairs}


def _label(pair: Pair | None, place: int) -> str:
    """What a pair came out as at an aligned point."""
    return "-" if pair is None or not pair.taxonomy else pair.taxonomy[place].label.value


def _answers(found: Study, pairs: Mapping[str, Pair], seeds: Mapping[str, Pair], at: str) -> RenderableType:
    """One row a run: what is known of it, and what came out."""
    table = plain_table()
    table.add_column("run", overflow="fold")
    for column in ("known to be", "these checkpoints", "over the seeds"):
        table.add_column(column, no_wrap=True)
    table.add_column("different", justify="right", no_wrap=True)
    for name, pair in pairs.items():
        known = found.interventions.get(name)
        labels = (_label(pair, -1), _label(seeds.get(name) if known else None, -1))
        counted = f"{pair.counts.different} of {pair.counts.judged}"
        table.add_row(name, f"{known}-side" if known else "another seed", *labels, counted)
    note = Text(
        "these checkpoints: against the probe's noise alone; over the seeds: against the replicate floor "
        "too; different: numbers beyond the probe's noise, over all matched losses",
        style="dim",
    )
    return titled(f"Against the first baseline at {at}", table, note)


def _at_each_loss(found: Study, pairs: Mapping[str, Pair], seeds: Mapping[str, Pair]) -> RenderableType:
    table = plain_table()
    table.add_column("run", overflow="fold")
    for column in ("probe loss", "these checkpoints", "over the seeds", "tokens"):
        table.add_column(column, no_wrap=True)
    for name in found.interventions:
        for place, one in enumerate(pairs[name].taxonomy):
            loss_words = comparison_rendering.target_words(one.target)
            words = (loss_words, one.label.value, _label(seeds.get(name), place), one.performance.tokens)
            table.add_row("" if place else name, *words)
    return titled("At each matched loss", table)


def _against_seeds(found: Mapping[str, Taxonomy], at: str) -> RenderableType:
    """How far each intervention moved the numbers, and how far another seed does."""
    table = plain_table()
    table.add_column("evidence", no_wrap=True)
    table.add_column("statistic", no_wrap=True)
    for name in (*found, "another-seed"):
        table.add_column(name.replace("-", "\n", 1), justify="right", no_wrap=True)
    first = next(iter(found.values()))
    for number, (kind, evidence) in enumerate(taxonomy_rendering.parts(first)):
        for row, counted in enumerate(evidence.statistics):
            same = [taxonomy_rendering.parts(one)[number][1].statistics[row] for one in found.values()]
            deltas = [f"{one.delta:+.2g}" if finite(one.delta) is not None else "-" for one in same]
            floor = f"{counted.seed_floor:.2g}" if finite(counted.seed_floor) is not None else "-"
            table.add_row("" if row else kind, statistic_words(counted.statistic), *deltas, floor)
    note = Text(
        "medians over the sites of the difference from the first baseline; another seed: the replicate "
        "floor, which two seeds of one recipe exceed once in twenty",
        style="dim",
    )
    return titled(f"Differences at {at}, and what another seed does", table, note)


# ----------------------------------------------------------------------------- JSON


def as_document(found: Study) -> dict[str, Any]:
    """The JSON document of `spectra study`: schema `spectra.study/1`."""
    comparison = found.comparison
    pairs = _by_name(comparison) if found.study == "taxonomy" else {}
    seeds = _by_name(found.over_seeds)
    return {
        "schema": SCHEMA,
        "study": found.study,
        "folder": str(found.folder),
        "target_loss": found.target_loss,
        "runs": [
            {
                "name": run.name,
                "archive": str(run.archive),
                "optimizer": run.optimizer,
                "batch_size_tokens": run.batch_size_tokens,
                "learning_rate": run.learning_rate,
                "seed": run.seed,
                "steps": run.steps,
                "tokens": run.tokens,
                "loss": finite(run.loss),
                "reached": run.reached,
            }
            for run in found.runs
        ],
        "signature": [_signature_fields(row) for row in found.signature],
        "interventions": [
            {
                "run": name,
                "known_side": found.interventions.get(name, ""),
                "taxonomy": _classified(pair),
                "over_seeds": _classified(seeds.get(name) if name in found.interventions else None),
            }
            for name, pair in pairs.items()
        ],
        "comparison": None if comparison is None else comparison_document.as_document(comparison),
        "forecast": None if found.forecast is None else forecast_rendering.as_document(found.forecast),
    }


def _classified(pair: Pair | None) -> list[dict[str, Any]]:
    return [] if pair is None else [taxonomy_rendering.as_document(one) for one in pair.taxonomy]


def _signature_fields(row: SignatureRow) -> dict[str, Any]:
    (trend,) = trend_rendering.as_document([row.trend])
    return {
        "means": [{"batch_size_tokens": size, "mean": finite(mean)} for size, mean in row.means.items()],
        "probe_error": finite(row.noise),
        "seed_spread": finite(row.seed_spread),
        "trend": trend,
    }
