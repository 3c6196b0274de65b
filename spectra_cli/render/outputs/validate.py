"""What is wrong with an archive: a line and a row a finding, and its JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spectra_cli.core.words.plurals import counted
from spectra_cli.render.output import Output
from spectra_cli.render.table import Part, line

if TYPE_CHECKING:
    from spectra_cli.workflows.validate import Validation

SCHEMA = "spectra.validate/1"
COLUMNS = ("severity", "where", "message")
"""Columns of the CSV table, and keys of a finding in the JSON document."""


def output(found: Validation) -> Output:
    """The findings about an archive, for every form."""
    path, findings = found.path, found.findings
    rows = [{name: str(getattr(one, name)) for name in COLUMNS} for one in findings]
    errors = sum(one.severity == "error" for one in findings)

    def tables() -> Iterator[Part]:
        counts = f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}"
        yield line(f"{path} {'is valid' if found.is_valid else 'is not valid'}: {counts}")
        for one in findings:
            style = "red" if one.severity == "error" else "yellow"
            # where the message does not begin with it, nor the line above
            known = one.where == str(path) or one.message.startswith(one.where)
            yield line(f"{one.severity}: {'' if known else f'{one.where}: '}{one.message}", style=style)

    document = {
        "schema": SCHEMA,
        "archive": str(path),
        "valid": found.is_valid,
        "unfinished": found.unfinished and found.unfinished.document(),
        "findings": rows,
    }
    return Output(tables=tables, document=lambda: document, columns=COLUMNS, rows=lambda: rows)
