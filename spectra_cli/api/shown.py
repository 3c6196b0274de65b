"""How each result is shown, and read as one table or one document: the registry that joins it to `render`.

A new type of result is a line in `OUTPUTS`. Nothing of a result is written but through a form of
`render.forms`, which knows what is markup there and escapes it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spectra_cli.api.values.tidy_table import TidyTable
from spectra_cli.core.errors import UsageError
from spectra_cli.core.shown import HTML, TEXT, Writer, show_by

if TYPE_CHECKING:
    from spectra_cli.render.output import Output

# result -> the module whose `output` makes it an Output; imported when one is shown
OUTPUTS: Mapping[str, str] = {
    "spectra_cli.analysis.comparison.Comparison": "spectra_cli.render.outputs.compare",
    "spectra_cli.analysis.drift.over_series.DriftReport": "spectra_cli.render.outputs.drift",
    "spectra_cli.analysis.forecast.extrapolation.Extrapolation": "spectra_cli.render.outputs.extrapolation",
    "spectra_cli.analysis.forecast.over_runs.Forecast": "spectra_cli.render.outputs.forecast",
    "spectra_cli.analysis.phases.over_run.Phases": "spectra_cli.render.outputs.phases",
    "spectra_cli.api.values.run.MeasuredRun": "spectra_cli.api.outputs.run",
    "spectra_cli.api.values.spectrum.MeasuredSpectrum": "spectra_cli.api.outputs.spectrum",
    "spectra_cli.api.values.tidy_table.TidyTable": "spectra_cli.api.outputs.tidy_table",
    "spectra_cli.render.report.written.Report": "spectra_cli.render.report.output",
    "spectra_cli.workflows.estimates.outlook.Outlook": "spectra_cli.render.outputs.inspect",
    "spectra_cli.workflows.scan.ScanResult": "spectra_cli.api.outputs.scan",
    "spectra_cli.workflows.show.ArchiveSummary": "spectra_cli.render.outputs.show",
    "spectra_cli.workflows.validate.Validation": "spectra_cli.render.outputs.validate",
}


def table(result: object) -> TidyTable:
    """A result as one tidy table: the rows of `--format csv`, for pandas, polars or xarray.

    Raises:
        UsageError: it is no result of `spectra`.
    """
    output = output_of(result)
    columns = tuple(output.columns)
    return TidyTable(
        columns=columns, rows=tuple({name: row[name] for name in columns} for row in output.rows())
    )


def document(result: object) -> Mapping[str, Any]:
    """A result as the values of its JSON document, as `--json` writes it.

    Raises:
        UsageError: it is no result of `spectra`.
    """
    return output_of(result).document()


def output_of(result: object) -> Output:
    """A result as what every form is written from."""
    kind = type(result)
    home = OUTPUTS.get(f"{kind.__module__}.{kind.__qualname__}")
    if home is None:
        raise UsageError(
            f"{kind.__name__} is no result of spectra: expected what one of its functions returned"
        )
    make: Callable[[object], Output] = import_module(home).output
    return make(result)


def _text(result: object) -> str:
    """As the terminal has it, without its colours: as wide as one, or as a pipe."""
    from spectra_cli.render.forms.terminal import LEAST_WIDTH, PIPE_WIDTH, printed_lines

    room = PIPE_WIDTH
    if sys.stdout.isatty():
        room = max(shutil.get_terminal_size().columns, LEAST_WIDTH)
    lines = (text.plain.rstrip() for part in output_of(result).tables() for text in printed_lines(part, room))
    return "\n".join(lines).strip("\n")


def _html(result: object) -> str:
    from spectra_cli.render.forms.html import fragment

    return fragment(output_of(result))


WRITERS: Mapping[str, Writer] = {TEXT: _text, HTML: _html}
show_by(WRITERS)
