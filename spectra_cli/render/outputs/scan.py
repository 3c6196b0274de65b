"""What a scan did: the tables of its archive, its JSON document, and a row a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Output
from spectra_cli.render.table import Part

if TYPE_CHECKING:
    from spectra_cli.workflows.scan import ScanResult

SCHEMA = "spectra.scan/1"
COLUMNS = ("checkpoint", "outcome", "reason")
"""Columns of the CSV table, one row a checkpoint: measured, kept or failed."""


def output(result: ScanResult, of_archive: Callable[[], Iterable[Part]]) -> Output:
    """What a scan did, for every form; `of_archive` makes the tables of what it wrote."""
    return Output(
        tables=lambda: () if result.found_all_done else of_archive(),
        document=lambda: document(result),
        columns=COLUMNS,
        rows=lambda: rows(result),
    )


def document(result: ScanResult) -> dict[str, Any]:
    """The JSON document of `spectra scan`: schema `spectra.scan/1`."""
    return {
        "schema": SCHEMA,
        "archive": str(result.archive),
        "measured": [ref.key for ref in result.measured],
        "kept": [ref.key for ref in result.kept],
        "failed": [{"checkpoint": ref.key, "reason": reason} for ref, reason in result.failed],
        "unfinished": result.unfinished and result.unfinished.document(),
        "notices": [*result.before, *result.notices, *([result.mixture] if result.mixture else [])],
    }


def rows(result: ScanResult) -> Iterator[dict[str, Any]]:
    """One row a checkpoint, keyed by `COLUMNS`."""
    for outcome, refs in (("measured", result.measured), ("kept", result.kept)):
        yield from ({"checkpoint": ref.key, "outcome": outcome, "reason": ""} for ref in refs)
    for ref, reason in result.failed:
        yield {"checkpoint": ref.key, "outcome": "failed", "reason": reason}
