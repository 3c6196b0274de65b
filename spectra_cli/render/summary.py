"""Tables of an archive's statistics, 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from spectra_cli.core.numbers import count, loss, rate, with_error
from spectra_cli.core.types import (
    MODEL_FACT,
    CheckpointInfo,
    CheckpointRef,
    Provenance,
    Skipped,
    StatisticValue,
    Status,
)
from spectra_cli.render.console import WIDTH
from spectra_cli.render.tables import plain_table, titled
from spectra_cli.render.tidy import tidy_rows

SCHEMA = "spectra.show/1"

# statistic -> column heading, for each table; the full names stand in the CSV, JSON and docs
_ACTIVATIONS = {
    "head_exponent_1_10": "α head\n1-10",
    "head_exponent_2_10": "α head\n2-10",
    "tail_exponent_30_150": "α tail\n30-150",
    "tail_exponent_scaled": "α tail\nscaled",
    "rankme_cov": "RankMe\n(cov)",
    "top10_share": "top-10\nshare",
    "n_eff_over_d": "n_eff\n/ d",
}
_GRADIENTS = {
    "head_exponent_1_10": "α head\n1-10",
    "head_exponent_2_10": "α head\n2-10",
    "tail_exponent_sample_scaled": "α tail\nscaled n",
    "rankme_cov": "RankMe\n(cov)",
    "top10_share": "top-10\nshare",
    "gradient_noise_scale": "noise scale\n(sequences)",
}
_PAPER = {
    "head_exponent_1_10": "α head\n1-10",
    "head_exponent_2_10": "α head\n2-10",
    "tail_exponent_30_150": "α tail\n30-150",
    "rankme_sv": "RankMe\n(sv)",
    "top10_share": "top-10\nshare",
}
_WEIGHTS = {
    "stable_rank": "stable\nrank",
    "rankme_sv": "RankMe\n(sv)",
    "participation_ratio": "partici-\npation",
    "top10_share": "top-10\nshare",
    "spectral_norm": "spectral\nnorm",
    "frobenius_norm": "Frobenius\nnorm",
    "condition": "condition",
}
_UPDATES = {name: _WEIGHTS[name] for name in ("stable_rank", "rankme_sv", "spectral_norm", "frobenius_norm")}
_TABLES = (
    ("activation_covariance", "Activations (covariance eigenvalues, centred)", _ACTIVATIONS),
    ("gradient_covariance", "Gradients per sequence (covariance eigenvalues, centred)", _GRADIENTS),
    ("gradient_matrix", "Gradients per sequence (singular values, uncentred: the public protocol)", _PAPER),
    ("weight", "Weights (singular values)", _WEIGHTS),
    ("weight_update", "Updates of adapters (singular values)", _UPDATES),
)
_SERIES = {
    ("probe_loss", "probe"): "probe loss",
    ("head_exponent_1_10", "activation_covariance"): "α head\n1-10",
    ("rankme_cov", "activation_covariance"): "RankMe\n(cov)",
    ("gradient_noise_scale", "gradient_covariance"): "gradient\nnoise scale",
}
_MARKS = {
    Status.PARTIAL: "*",
    Status.BELOW_FLOOR: "!",
    Status.UNRESOLVED: "u",
    Status.ZERO: "z",
    Status.NONFINITE: "n",
    Status.NOT_APPLICABLE: "-",
}

Checkpoint = tuple[CheckpointRef, CheckpointInfo, Sequence[StatisticValue], Sequence[Skipped]]


def heading(path: str, provenance: Provenance, checkpoints: Sequence[Checkpoint]) -> RenderableType:
    """What was measured, with which probe, and what to beware of."""
    probe, settings = provenance.probe, provenance.settings
    info = checkpoints[0][1]
    lines = Text()
    lines.append(f"{path}", style="bold")
    lines.append(f"  {info.architecture}, {count(info.num_parameters)} parameters, ")
    lines.append(f"{len(checkpoints)} checkpoint{'s' * (len(checkpoints) != 1)}\n")
    counts = {
        "covariance": ("activation_covariance", settings["num_sequences"]),
        "gradients": ("gradient", settings["num_gradient_sequences"]),
    }
    shares = ", ".join(
        f"{what} {number} x {probe.sequence_length} tokens"
        for what, (name, number) in counts.items()
        if name in settings["measurements"]
    )
    for fact in dict.fromkeys(
        f"{name}: {text}"
        for _, i, *_ in checkpoints
        for name, text in i.facts.items()
        if not name.startswith(MODEL_FACT)
    ):
        lines.append(f"{fact}\n")
    if not probe.num_sequences:
        lines.append("no probe: weights alone")
        return lines
    lines.append(f"probe {probe.digest[:12]} of {probe.source}\n")
    lines.append(f"{shares}; {settings['num_blocks']} jackknife blocks; ± is one standard error\n")
    lines.append(
        f"preset {settings['preset']}, rows {settings['normalize']}/{settings['pool']}, {settings['dtype']}"
    )
    if probe.synthetic:
        lines.append(
            "\nsynthetic probe: the tokens are random, these numbers describe no data", style="yellow"
        )
    return lines


def series_table(checkpoints: Sequence[Checkpoint]) -> RenderableType:
    """One row a checkpoint: losses, and the spectra of its last measured layer; empty columns left out."""
    columns = {
        "step": [ref.key.removeprefix("step") for ref, *_ in checkpoints],
        "tokens": [count(info.tokens_seen) for _, info, *_ in checkpoints],
        "train\nloss": [loss(info.train_loss) for _, info, *_ in checkpoints],
        "eval\nloss": [loss(info.eval_loss) for _, info, *_ in checkpoints],
        "learning\nrate": [rate(info.learning_rate) for _, info, *_ in checkpoints],
    }
    measured = [_of_last_layer(statistics) for _, _, statistics, _ in checkpoints]
    for key, title in _SERIES.items():
        columns[title] = [cell(values.get(key)) for values in measured]
    shown = {title: cells for title, cells in columns.items() if title == "step" or set(cells) - {"-", ""}}
    left_out = []
    for title in ("learning\nrate", "eval\nloss", "train\nloss"):
        if title in shown and _table_width(shown) > WIDTH:
            left_out.append(title.replace("\n", " "))
            del shown[title]
    table = plain_table()
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*map(Text, row))
    about = " (α, RankMe: activations of the last measured layer)" if "RankMe\n(cov)" in shown else ""
    note = [Text(f"no room here for {', '.join(left_out)}: in --format json")] if left_out else []
    return titled(f"Checkpoints{about}", table, *note)


def _table_width(columns: Mapping[str, Sequence[str]]) -> int:
    """Characters of a line of `plain_table`, which puts three between two columns."""
    widths = [max(map(len, (*title.split("\n"), *cells))) for title, cells in columns.items()]
    return sum(widths) + 3 * (len(widths) - 1)


def _of_last_layer(statistics: Sequence[StatisticValue]) -> dict[tuple[str, str], StatisticValue]:
    """Numbers of the whole model, and those of the last layer's activations."""
    last = _last_layer(statistics)
    return {
        (value.name, value.measurement): value
        for value in statistics
        if value.site is None or (value.measurement == "activation_covariance" and value.site.layer == last)
    }


def checkpoint_tables(checkpoint: Checkpoint, *, preset: str) -> Iterator[RenderableType]:
    """The activation, gradient and weight tables of one checkpoint, with notes on what is missing.

    The uncentred gradient spectrum, which the public protocol fits, has its table under `paper-compat`.
    """
    ref, _, statistics, skipped = checkpoint
    for measurement, title, columns in _TABLES:
        if measurement == "gradient_matrix" and preset != "paper-compat":
            continue
        values = [v for v in statistics if v.measurement == measurement and v.site is not None]
        shown = [name for name in columns if any(v.name == name for v in values)]
        if not shown:
            continue
        table = plain_table()
        table.add_column("layer" if measurement == "activation_covariance" else "matrix", overflow="fold")
        for name in shown:
            table.add_column(columns[name], justify="right", no_wrap=True)
        by_site: dict[str, dict[str, StatisticValue]] = {}
        for value in values:
            if value.site is not None and value.name in shown:
                by_site.setdefault(value.site.address, {})[value.name] = value
        for row in by_site.values():
            label = _label(next(iter(row.values())))
            table.add_row(label, *(Text(cell(row.get(name))) for name in shown))
        noted = [value for row in by_site.values() for value in row.values()]
        yield titled(f"{ref.key}: {title}", table, *_notes(noted))
    if skipped:
        yield skipped_lines(skipped)


def statistic_table(name: str, checkpoints: Sequence[Checkpoint]) -> RenderableType:
    """One statistic over the series: a row a site, a column a checkpoint, as many of the last as fit."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for ref, _, statistics, _ in checkpoints:
        for value in statistics:
            if value.name == name:
                of = value.measurement.removesuffix("_covariance")
                rows.setdefault((of, _label(value)), {})[ref.key] = cell(value)
    keys = [ref.key for ref, *_ in checkpoints]
    widths = [max(len(key), *(len(row.get(key, "")) for row in rows.values())) + 3 for key in keys]
    room = WIDTH - sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True))
    while sum(widths) > room and len(keys) > 1:
        keys, widths = keys[1:], widths[1:]
    left = len(checkpoints) - len(keys)
    title = name + (f" (the last {len(keys)} checkpoints; --format csv has {left} more)" if left else "")
    table = plain_table()
    table.add_column("of", no_wrap=True)
    table.add_column("site", no_wrap=True)
    for key in keys:
        table.add_column(key.removeprefix("step"), justify="right", no_wrap=True)
    for (of, site), by_checkpoint in rows.items():
        table.add_row(of, site, *(Text(by_checkpoint.get(key, "")) for key in keys))
    return titled(title, table)


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


def notices(infos: Iterable[CheckpointInfo]) -> Iterator[Text]:
    """What readers of the checkpoints had to say, each sentence once."""
    for notice in dict.fromkeys(notice for info in infos for notice in info.notices):
        yield Text(notice, style="yellow")


def as_document(path: str, provenance: Provenance, checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """The JSON document of `spectra show`: schema `spectra.show/1`."""
    probe = provenance.probe
    return {
        "schema": SCHEMA,
        "archive": path,
        "settings": dict(provenance.settings),
        "versions": dict(provenance.versions),
        "probe": {
            "digest": probe.digest,
            "source": probe.source,
            "num_sequences": probe.num_sequences,
            "sequence_length": probe.sequence_length,
            "synthetic": probe.synthetic,
        },
        "checkpoints": [
            {
                "run": ref.run,
                "checkpoint": ref.key,
                "step": ref.step,
                "uri": ref.uri,
                "tokens_seen": info.tokens_seen,
                "train_loss": info.train_loss,
                "eval_loss": info.eval_loss,
                "batch_size_tokens": info.batch_size_tokens,
                "learning_rate": info.learning_rate,
                "facts": dict(info.facts),
                "sources": dict(info.sources),
                "num_parameters": info.num_parameters,
                "digest": info.digest,
                "notices": list(info.notices),
                "skipped": [
                    {
                        "measurement": s.measurement,
                        "site": s.site.address,
                        "status": s.status.value,
                        "reason": s.reason,
                    }
                    for s in skipped
                ],
                "statistics": list(tidy_rows(ref, info.tokens_seen, statistics)),
            }
            for ref, info, statistics, skipped in checkpoints
        ],
    }


def _last_layer(statistics: Iterable[StatisticValue]) -> int | None:
    layers = (
        v.site.layer for v in statistics if v.site is not None and v.measurement == "activation_covariance"
    )
    return max((layer for layer in layers if layer is not None), default=None)


def _notes(values: Iterable[StatisticValue]) -> Iterator[Text]:
    """What the fits' windows are, and for each kind of mark: how often, and the first reason."""
    marked: dict[Status, list[StatisticValue]] = {}
    fits: dict[tuple[str, float, float], list[float]] = {}
    for value in values:
        if "r_squared" in value.details:
            window = (value.name, value.details["window_lo"], value.details["window_hi"])
            fits.setdefault(window, []).append(value.details["r_squared"])
        if value.status is not Status.OK and value.status is not Status.NOT_APPLICABLE:
            marked.setdefault(value.status, []).append(value)
    if fits:
        windows = (f"{name} {lo:.0f}-{hi:.0f} (R² {_span(found)})" for (name, lo, hi), found in fits.items())
        yield Text("ranks fitted: " + ", ".join(windows), style="dim")
    for status, found in marked.items():
        mark = _MARKS[status] if status.has_value else f"[{_MARKS[status]}]"
        names = ", ".join(dict.fromkeys(v.name for v in found))
        plural = "value" if len(found) == 1 else "values"
        others = len({value.reason for value in found}) - 1
        more = f" (first of {others + 1} reasons; --format csv has them all)" if others else ""
        line = f"{mark} {status.value}, {len(found)} {plural} ({names}): {found[0].reason}{more}"
        yield Text(line, style="dim")


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def skipped_lines(skipped: Sequence[Skipped]) -> Text:
    """What was asked for and not measured: one line a measurement and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for item in skipped:
        grouped.setdefault((item.measurement, item.reason), []).append(item.site.address)
    lines = [
        f"not measured ({measurement}): {', '.join(sites[:4])}"
        + (f" and {len(sites) - 4} more" if len(sites) > 4 else "")
        + f": {reason}"
        for (measurement, reason), sites in grouped.items()
    ]
    return Text("\n".join(lines), style="yellow")
