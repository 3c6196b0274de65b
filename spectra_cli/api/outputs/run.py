"""A run, printed: where it is kept, what is to be known of it, what was measured, and its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spectra_cli.api.outputs import tidy_table
from spectra_cli.core.measurements import measurement_words
from spectra_cli.render.output import Output
from spectra_cli.render.table import Part, line

if TYPE_CHECKING:
    from spectra_cli.api.values.run import MeasuredRun


def output(run: MeasuredRun) -> Output:
    """A run, for every form."""
    made = tidy_table.output(run.checkpoints)
    return Output(
        tables=lambda: tables(run),
        document=made.document,
        columns=made.columns,
        rows=made.rows,
        notices=run.notices,
    )


def tables(run: MeasuredRun) -> Iterator[Part]:
    """What there is to see of it before anything is computed."""
    series = run.series
    plural = "s" * (len(run) != 1)
    measured = ", ".join(measurement_words(name) for name in series.measurements)
    yield line((str(series.path), "bold"), f": {len(run)} checkpoint{plural}, {measured or 'no spectra'}")
    yield from (line(notice, style="yellow") for notice in run.notices)
    yield from tidy_table.tables(run.checkpoints)
