"""The archives of a demo, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spectra_cli.render.output import Output
from spectra_cli.render.outputs import show
from spectra_cli.render.table import Part, line
from spectra_cli.render.tables.show import tables as tables_of_archive
from spectra_cli.render.tidy import COLUMNS

if TYPE_CHECKING:
    from spectra_cli.workflows.show import ArchiveSummary

SCHEMA = "spectra.demo/1"


def output(summaries: Sequence[ArchiveSummary]) -> Output:
    """The statistics of several archives, for every form."""
    return Output(
        tables=lambda: tables(summaries),
        document=lambda: {"schema": SCHEMA, "archives": [show.document(one) for one in summaries]},
        columns=COLUMNS,
        rows=lambda: (row for one in summaries for row in show.rows(one)),
        notices=[notice for one in summaries for notice in show.output(one).notices],
    )


def tables(summaries: Sequence[ArchiveSummary]) -> Iterator[Part]:
    """Those of each archive, and a gap behind them."""
    for one in summaries:
        yield from tables_of_archive(one)
        yield line("")
