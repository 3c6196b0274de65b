"""The statistics of an archive: its tables, its JSON document, and tidy rows of one value each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import finite
from spectra_cli.render.output import Output
from spectra_cli.render.tables.show import notices, tables

if TYPE_CHECKING:
    from spectra_cli.workflows.show import ArchiveSummary, CheckpointSummary

SCHEMA = "spectra.show/1"
COLUMNS = (
    "run",
    "checkpoint",
    "step",
    "tokens_seen",
    "measurement",
    "site",
    "layer",
    "component",
    "statistic",
    "value",
    "stderr",
    "unit",
    "status",
    "reason",
    "window_lo",
    "window_hi",
    "r_squared",
)
"""Columns of the tidy table. `site` is empty for numbers of the whole model."""


def output(summary: ArchiveSummary) -> Output:
    """The statistics of an archive, for every form."""
    told = notices([one.info for one in summary.series], summary.provenance.probe)
    return Output(
        tables=lambda: tables(summary),
        document=lambda: document(summary),
        columns=COLUMNS,
        rows=lambda: rows(summary),
        notices=(*(each.text for each in told), *summary.notices),
    )


def document(summary: ArchiveSummary) -> dict[str, Any]:
    """The JSON document of `spectra show`: schema `spectra.show/1`."""
    probe = summary.provenance.probe
    return {
        "schema": SCHEMA,
        "archive": str(summary.path),
        "unfinished": summary.unfinished and summary.unfinished.document(),
        "notices": list(summary.notices),
        "settings": dict(summary.provenance.settings),
        "versions": dict(summary.provenance.versions),
        "probe": {
            "digest": probe.digest,
            "source": probe.source,
            "num_sequences": probe.num_sequences,
            "sequence_length": probe.sequence_length,
            "synthetic": probe.synthetic,
            "notices": list(probe.notices),
        },
        "checkpoints": [_checkpoint(one) for one in summary.series],
    }


def _checkpoint(one: CheckpointSummary) -> dict[str, Any]:
    ref, info = one.ref, one.info
    return {
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
            for s in one.skipped
        ],
        "statistics": list(tidy_rows(one)),
    }


def rows(summary: ArchiveSummary) -> Iterator[dict[str, Any]]:
    """A row a value, keyed by `COLUMNS`."""
    for one in summary.series:
        yield from tidy_rows(one)


def tidy_rows(checkpoint: CheckpointSummary) -> Iterator[dict[str, Any]]:
    """One mapping a statistic, keyed by `COLUMNS`, plus all `details`; a missing number is None."""
    for value in checkpoint.statistics:
        yield {
            "run": checkpoint.ref.run,
            "checkpoint": checkpoint.ref.key,
            "step": checkpoint.ref.step,
            "tokens_seen": checkpoint.info.tokens_seen,
            "measurement": value.measurement,
            "site": "" if value.site is None else value.site.address,
            "layer": None if value.site is None else value.site.layer,
            "component": "" if value.site is None else value.site.component,
            "statistic": value.name,
            "value": finite(value.value),
            "stderr": finite(value.stderr),
            "unit": value.unit,
            "status": value.status.value,
            "reason": value.reason,
            "window_lo": finite(value.details.get("window_lo")),
            "window_hi": finite(value.details.get("window_hi")),
            "r_squared": finite(value.details.get("r_squared")),
            "details": {name: finite(number) for name, number in value.details.items()},
        }
