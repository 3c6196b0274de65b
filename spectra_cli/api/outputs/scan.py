"""A scan that is shown by itself: what it did, and the tables of its archive."""

from __future__ import annotations

from collections.abc import Iterator

from spectra_cli.render.output import Output
from spectra_cli.render.outputs import scan as rendering
from spectra_cli.render.table import Part, line
from spectra_cli.render.tables.show import tables
from spectra_cli.workflows.scan import ScanResult
from spectra_cli.workflows.show import show


def output(result: ScanResult) -> Output:
    """A scan, for every form."""

    def of_archive() -> Iterator[Part]:
        kept = f", {len(result.kept)} kept from before" if result.kept else ""
        yield line(f"{result.archive}: {len(result.measured)} measured{kept}", style="bold")
        for ref, reason in result.failed:
            yield line(f"left out: {ref.key}: {reason}", style="yellow")
        yield from (line(notice, style="yellow") for notice in (*result.notices, result.mixture) if notice)
        yield from tables(show(result.archive))

    made = rendering.output(result, of_archive)
    return Output(tables=of_archive, document=made.document, columns=made.columns, rows=made.rows)
