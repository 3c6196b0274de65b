"""The rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spectra_cli.render.forms.registry import Form
from spectra_cli.render.text.neutral import for_csv

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], stream: SupportsWrite[str]) -> None:
    """Write a header and the rows; numbers in full precision, empty cells for missing ones.

    No text acts on a terminal or starts a formula (`neutral.for_csv`); JSON has it as it is.
    """
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """What `write_csv` writes."""
    text = io.StringIO()
    write_csv(rows, columns, text)
    return text.getvalue()


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else for_csv(str(value))


FORM = Form(
    write=lambda output, stream: stream.write(as_csv(output.rows(), output.columns)),
    shows_tables=False,
    holds_notices=False,
)
