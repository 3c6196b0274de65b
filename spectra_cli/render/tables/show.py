"""Tables of an archive's statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectra_cli.core.measurements import (
    ACTIVATIONS,
    GRADIENT_MATRIX,
    GRADIENTS,
    MEASUREMENTS,
    WEIGHT_UPDATES,
    WEIGHTS,
)
from spectra_cli.core.notices import NoticeKind, gathered, kind_of, signs_of_wrong_tokens
from spectra_cli.core.paths import as_typed
from spectra_cli.core.spacing import evenly
from spectra_cli.core.types import (
    MODEL_FACT,
    CheckpointInfo,
    ProbeInfo,
    Provenance,
    Skipped,
    StatisticValue,
    Status,
)
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.numbers import count, loss, rate, with_error
from spectra_cli.core.words.plurals import counted
from spectra_cli.render.table import Column, Line, Part, Table, from_columns, key, line, number, sparks
from spectra_cli.render.text.sparks import sparkline
from spectra_cli.statistics.registry import DEFINITIONS

if TYPE_CHECKING:
    from spectra_cli.workflows.show import ArchiveSummary, CheckpointSummary

# the statistics of each table, in the order of its columns; the archive holds more
_NORMS = ("stable_rank", "rankme_sv", "spectral_norm", "frobenius_norm")
_TABLES = {
    ACTIVATIONS: (
        "head_exponent_1_10",
        "head_exponent_2_10",
        "tail_exponent_30_150",
        "tail_exponent_scaled",
        "rankme_cov",
        "top10_share",
        "n_eff_over_d",
    ),
    GRADIENTS: (
        "head_exponent_1_10",
        "head_exponent_2_10",
        "tail_exponent_sample_scaled",
        "rankme_cov",
        "top10_share",
        "gradient_noise_scale",
    ),
    GRADIENT_MATRIX: (
        "head_exponent_1_10",
        "head_exponent_2_10",
        "tail_exponent_30_150",
        "rankme_sv",
        "top10_share",
    ),
    WEIGHTS: (
        "stable_rank",
        "rankme_sv",
        "participation_ratio",
        "top10_share",
        "spectral_norm",
        "frobenius_norm",
        "condition",
    ),
    WEIGHT_UPDATES: _NORMS,
}
_RANK = ("rankme_cov", ACTIVATIONS)
_SERIES = {
    ("probe_loss", "probe"): "probe loss",
    ("head_exponent_1_10", ACTIVATIONS): DEFINITIONS["head_exponent_1_10"].head,
    _RANK: DEFINITIONS["rankme_cov"].head,
    ("gradient_noise_scale", GRADIENTS): "gradient\nnoise scale",
}
_MARKS = {
    Status.PARTIAL: "*",
    Status.BELOW_FLOOR: "!",
    Status.UNRESOLVED: "u",
    Status.ZERO: "z",
    Status.NONFINITE: "n",
    Status.NOT_APPLICABLE: "-",
}

# what goes before the sparkline where there is no room: it is hardly read without its neighbours
_FIRST_TO_GO = ("head_exponent_2_10", "condition")
_MOST_SITES = 4
# what the rank of a row is told by over training, the first that a table has
_RANKS = ("rankme_cov", "rankme_sv", "stable_rank")
_SHORTEST_SERIES = 3  # checkpoints from which on a sparkline says something
_LONGEST_SPARK = 12


def tables(summary: ArchiveSummary) -> Iterator[Part]:
    """The statistics that were asked for, over the series; else the series, and the layers of its last
    checkpoint or of each that was asked for.
    """
    checkpoints, provenance = summary.series, summary.provenance
    yield from heading(as_typed(summary.path), provenance, checkpoints)
    if summary.asked_for is not None:
        yield from (statistic_table(name, checkpoints) for name in summary.asked_for)
    else:
        yield series_table(checkpoints)
        for checkpoint in checkpoints if summary.steps_asked_for else checkpoints[-1:]:
            yield from checkpoint_tables(
                checkpoint, preset=provenance.setting_facts.preset, series=checkpoints
            )
    yield from notices([one.info for one in checkpoints], provenance.probe)
    yield from (line(notice, style="yellow") for notice in summary.notices)


def heading(path: str, provenance: Provenance, checkpoints: Sequence[CheckpointSummary]) -> Iterator[Line]:
    """What was measured, with which probe, and what to beware of."""
    probe, settings = provenance.probe, provenance.setting_facts
    info = checkpoints[0].info
    yield line(
        (path, "bold"),
        f"  {info.architecture}, {count(info.num_parameters)} parameters, "
        f"{len(checkpoints)} checkpoint{'s' * (len(checkpoints) != 1)}",
    )
    for fact in dict.fromkeys(
        f"{name}: {text}"
        for one in checkpoints
        for name, text in one.info.facts.items()
        if not name.startswith(MODEL_FACT)
    ):
        yield line(fact)
    if not probe.num_sequences:
        yield line("no probe: weights alone")
        return
    counts = {
        "covariance": ("num_sequences", settings.num_sequences),
        "gradients": ("num_gradient_sequences", settings.num_gradient_sequences),
    }
    samples = {kind.samples for kind in MEASUREMENTS.values() if kind.made_by in settings.measurements}
    shares = ", ".join(
        f"{what} {number} x {probe.sequence_length} tokens"
        for what, (setting, number) in counts.items()
        if setting in samples
    )
    yield line(f"probe {probe.digest[:12]} of {probe.source}")
    dealt = counted(settings.num_blocks, "jackknife block")
    yield line("; ".join([*filter(None, [shares]), dealt, "± is one standard error"]))
    yield line(f"preset {settings.preset}, rows {settings.normalize}/{settings.pool}, {settings.dtype}")
    if probe.synthetic:
        yield line("synthetic probe: the tokens are random, these numbers describe no data", style="yellow")


def series_table(checkpoints: Sequence[CheckpointSummary]) -> Table:
    """One row a checkpoint: losses, and the spectra of its last measured layer; empty columns left out."""
    columns = {
        "step": [one.ref.key.removeprefix("step") for one in checkpoints],
        "tokens": [count(one.info.tokens_seen) for one in checkpoints],
        "train\nloss": [loss(one.info.train_loss) for one in checkpoints],
        "eval\nloss": [loss(one.info.eval_loss) for one in checkpoints],
        "learning\nrate": [rate(one.info.learning_rate) for one in checkpoints],
    }
    measured = [_of_last_layer(one.statistics) for one in checkpoints]
    for name, title in _SERIES.items():
        columns[title] = [cell(values.get(name)) for values in measured]
    about = ""
    if not any(values for values in measured):
        columns |= _weights_over_series(checkpoints)
        about = " (mean over the matrices of weights)"
    if set(columns[_SERIES[_RANK]]) - {"-", ""}:
        about = " (α, RankMe: activations of the last measured layer)"
    noted = [values[name] for values in measured for name in _SERIES if name in values]
    return from_columns(
        columns,
        title=f"Checkpoints{about}",
        keys_are_numbers=True,
        dispensable={"learning\nrate": 1, "eval\nloss": 2, "train\nloss": 3},
        notes=list(_reasons(noted)),
    )


def _weights_over_series(checkpoints: Sequence[CheckpointSummary]) -> dict[str, list[str]]:
    """Columns for an archive of weights alone: each number's mean over all matrices that have it."""
    columns: dict[str, list[str]] = {}
    for name in _NORMS:
        head = DEFINITIONS[name].head
        columns[head] = []
        for one in checkpoints:
            found = [v.value for v in one.statistics if v.name == name and v.measurement == WEIGHTS]
            known = [value for value in found if math.isfinite(value)]
            mean = with_error(math.fsum(known) / len(known), math.nan) if known else ""
            columns[head].append(mean)
    return columns


def _of_last_layer(statistics: Sequence[StatisticValue]) -> dict[tuple[str, str], StatisticValue]:
    """Numbers of the whole model, and those of the last layer's activations."""
    last = _last_layer(statistics)
    return {
        (value.name, value.measurement): value
        for value in statistics
        if value.site is None or (value.measurement == ACTIVATIONS and value.site.layer == last)
    }


def checkpoint_tables(
    checkpoint: CheckpointSummary, *, preset: str, series: Sequence[CheckpointSummary] = ()
) -> Iterator[Part]:
    """The activation, gradient and weight tables of one checkpoint, with notes on what is missing.

    Of a series, the rank of each row over training stands beside it as a sparkline.

    The uncentred gradient spectrum, which the public protocol fits, has its table under `paper-compat`.
    """
    for measurement, columns in _TABLES.items():
        if measurement == GRADIENT_MATRIX and preset != "paper-compat":
            continue
        values = [v for v in checkpoint.statistics if v.measurement == measurement and v.site is not None]
        shown = [name for name in columns if any(v.name == name for v in values)]
        if not shown:
            continue
        by_site: dict[str, dict[str, StatisticValue]] = {}
        for value in values:
            if value.site is not None and value.name in shown:
                by_site.setdefault(value.site.address, {})[value.name] = value
        noted = [value for row in by_site.values() for value in row.values()]
        trend = _over_training(series, measurement, shown)
        yield Table(
            title=f"{checkpoint.ref.key}: {MEASUREMENTS[measurement].title}",
            columns=[
                key("layer" if measurement == ACTIVATIONS else "matrix"),
                *(number(DEFINITIONS[name].head, dispensable=int(name in _FIRST_TO_GO)) for name in shown),
                *([sparks(f"{DEFINITIONS[trend.name].short}\nover training")] if trend else []),
            ],
            rows=[
                [
                    _label(next(iter(row.values()))),
                    *(cell(row.get(name)) for name in shown),
                    *([trend.of.get(address, "")] if trend else []),
                ]
                for address, row in by_site.items()
            ],
            notes=[*_windows(noted), *_reasons(noted)],
        )
    yield from skipped_lines(checkpoint.skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trend:
    """A statistic over training: site -> sparkline."""

    name: str
    of: Mapping[str, str]


def _over_training(
    series: Sequence[CheckpointSummary], measurement: str, shown: Sequence[str]
) -> _Trend | None:
    """How the effective rank of every site went; None for a series too short to tell."""
    name = next((name for name in _RANKS if name in shown), None)
    if len(series) < _SHORTEST_SERIES or name is None:
        return None
    found: dict[str, list[float]] = {}
    chosen = [series[place] for place in evenly(len(series), _LONGEST_SPARK)]
    for place, one in enumerate(chosen):
        for value in one.statistics:
            if value.name == name and value.measurement == measurement and value.site is not None:
                found.setdefault(value.site.address, [math.nan] * len(chosen))[place] = value.value
    return _Trend(name=name, of={address: sparkline(values) for address, values in found.items()})


def statistic_table(name: str, checkpoints: Sequence[CheckpointSummary]) -> Table:
    """One statistic over the series: a row a site, a column a checkpoint.

    Where not all have room, the first, the last and some evenly between stand: what happens at the start of
    training is as much of a finding as what happens at its end.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    numbers: dict[tuple[str, str], dict[str, float]] = {}
    noted = []
    for checkpoint in checkpoints:
        for value in checkpoint.statistics:
            if value.name == name:
                row = value.measurement.removesuffix("_covariance"), _label(value)
                rows.setdefault(row, {})[checkpoint.ref.key] = cell(value)
                numbers.setdefault(row, {})[checkpoint.ref.key] = value.value
                noted.append(value)
    keys = [one.ref.key for one in checkpoints]
    trend = len(keys) >= _SHORTEST_SERIES
    sparked = [keys[place] for place in evenly(len(keys), _LONGEST_SPARK)]
    steps: list[Column] = [number(one.removeprefix("step"), is_of_series=True) for one in keys]
    return Table(
        title=name,
        columns=[key("of"), key("site"), *([sparks("over\ntraining")] if trend else []), *steps],
        rows=[
            [
                *row,
                *([sparkline([numbers[row].get(one, math.nan) for one in sparked])] if trend else []),
                *(found.get(one, "") for one in keys),
            ]
            for row, found in rows.items()
        ],
        notes=list(_reasons(noted)),
    )


def cell(value: StatisticValue | None) -> str:
    """A value with its error, or the mark of why there is none."""
    if value is None:
        return ""
    mark = _MARKS.get(value.status, "")
    if not value.status.has_value:
        return f"[{mark}]" if mark != "-" else "-"
    return with_error(value.value, value.stderr) + mark


def _label(value: StatisticValue) -> str:
    """The site in a few letters: layer alone for the residual stream."""
    if value.site is None:
        return "model"
    return value.site.address.removeprefix("blocks.").removesuffix(".resid_post")


def notices(infos: Sequence[CheckpointInfo], probe: ProbeInfo) -> Iterator[Line]:
    """What is to be known of the probe and the checkpoints: each once, those alike but for numbers as one."""
    signs = signs_of_wrong_tokens(probe.notices, [info.notices for info in infos])
    others = gathered(n for info in infos for n in info.notices if kind_of(n) is not NoticeKind.ABOVE_UNIFORM)
    for notice in (*signs, *others):
        yield line(notice, style="yellow")


def _last_layer(statistics: Iterable[StatisticValue]) -> int | None:
    layers = (v.site.layer for v in statistics if v.site is not None and v.measurement == ACTIVATIONS)
    return max((layer for layer in layers if layer is not None), default=None)


def _windows(values: Iterable[StatisticValue]) -> Iterator[Line]:
    """Over which ranks exponents were fitted, and how well."""
    fits: dict[tuple[str, float, float], list[float]] = {}
    for value in values:
        if "r_squared" in value.details:
            window = (value.name, value.details["window_lo"], value.details["window_hi"])
            fits.setdefault(window, []).append(value.details["r_squared"])
    if fits:
        windows = (f"{name} {lo:.0f}-{hi:.0f} (R² {_span(found)})" for (name, lo, hi), found in fits.items())
        yield line("ranks fitted: " + ", ".join(windows), style="dim")


def _reasons(values: Iterable[StatisticValue]) -> Iterator[Line]:
    """For each kind of mark in a table: how often it stands there, and the first reason."""
    marked: dict[Status, list[StatisticValue]] = {}
    for value in values:
        if value.status is not Status.OK and value.status is not Status.NOT_APPLICABLE:
            marked.setdefault(value.status, []).append(value)
    for status, found in marked.items():
        mark = _MARKS[status] if status.has_value else f"[{_MARKS[status]}]"
        names = ", ".join(dict.fromkeys(v.name for v in found))
        plural = "value" if len(found) == 1 else "values"
        others = len({value.reason for value in found}) - 1
        more = f" (first of {others + 1} reasons; --format csv has them all)" if others else ""
        told = f"{mark} {status.value}, {len(found)} {plural} ({names}): {found[0].reason}{more}"
        yield line(told, style="dim")


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def skipped_lines(skipped: Sequence[Skipped]) -> Iterator[Line]:
    """What was asked for and not measured: one line a measurement and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for item in skipped:
        grouped.setdefault((item.measurement, item.reason), []).append(item.site.address)
    for (measurement, reason), sites in grouped.items():
        named = listed(sites, _MOST_SITES, of=" (--json names them)")
        yield line(f"not measured ({measurement}): {named}: {reason}", style="yellow")
