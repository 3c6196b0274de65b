"""The rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spectra_cli.render.forms.form import Form
from spectra_cli.render.text.neutral import for_csv


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The rows as CSV with a header; numbers in full precision, empty cells for missing ones.

    No text acts on a terminal or starts a formula (`neutral.for_csv`); JSON has it as it is.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else for_csv(str(value))


FORM = Form(
    write=lambda output, stream: stream.write(as_csv(output.rows(), output.columns)), holds_notices=False
)
