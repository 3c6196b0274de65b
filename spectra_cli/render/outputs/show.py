"""The statistics of an archive: its tables, its JSON document, and tidy rows of one value each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Fields, Output
from spectra_cli.render.tables.show import notices, tables
from spectra_cli.render.tidy import COLUMNS, tidy_rows

if TYPE_CHECKING:
    from spectra_cli.workflows.show import ArchiveSummary

SCHEMA = "spectra.show/1"
_PROBE = Fields("digest source num_sequences sequence_length synthetic notices")
_CHECKPOINT = Fields("run=ref.run checkpoint=ref.key step=ref.step uri=ref.uri")
_INFO = Fields(
    "tokens_seen train_loss eval_loss batch_size_tokens learning_rate facts sources num_parameters digest "
    "notices"
)
_SKIPPED = Fields("measurement site=site.address status reason")


def output(summary: ArchiveSummary) -> Output:
    """The statistics of an archive, for every form."""
    of_checkpoints = notices([one.info for one in summary.series], summary.provenance.probe)
    told = (*(each.text for each in of_checkpoints), *summary.notices)
    return Output.of(summary, tables, document, COLUMNS, rows, told)


def document(summary: ArchiveSummary) -> dict[str, Any]:
    """The JSON document of `spectra show`: schema `spectra.show/1`."""
    return {
        "schema": SCHEMA,
        **Fields(
            "archive=path unfinished notices settings=provenance.settings versions=provenance.versions"
        ).of(summary),
        "probe": _PROBE.of(summary.provenance.probe),
        "checkpoints": [
            {
                **_CHECKPOINT.of(one),
                **_INFO.of(one.info),
                "skipped": list(map(_SKIPPED.of, one.skipped)),
                "statistics": list(tidy_rows(one)),
            }
            for one in summary.series
        ],
    }


def rows(summary: ArchiveSummary) -> Iterator[dict[str, Any]]:
    """A row a value, keyed by `COLUMNS`."""
    for one in summary.series:
        yield from tidy_rows(one)
