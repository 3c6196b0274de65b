"""What a report says first, and where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import size
from spectra_cli.render.output import Fields, Output
from spectra_cli.render.table import Part, line

if TYPE_CHECKING:
    from spectra_cli.render.report.written import Report

SCHEMA = "spectra.report/1"
_SENTENCE = Fields("section text is_caveat")
COLUMNS = ("section", "text")
"""Columns of the CSV table, a row a sentence; what limits them is told beside it."""


def output(found: Report) -> Output:
    """The answer of a report, for every form."""
    caveats = tuple(one.text for one in found.answer if one.is_caveat)
    return Output.of(found, tables, document, COLUMNS, rows, caveats)


def tables(found: Report) -> Iterator[Part]:
    """The question, its answer, what limits it, and the file."""
    yield line(found.question, style="bold")
    yield from (line(f"- {one.text}", hang=2) for one in found.answer if not one.is_caveat)
    yield from (line(f"- {one.text}", style="yellow", hang=2) for one in found.answer if one.is_caveat)
    yield line(f"{found.path} ({size(found.num_bytes)}): open it in any browser")


def document(found: Report) -> dict[str, Any]:
    """The JSON document of `spectra report`: schema `spectra.report/1`."""
    return {
        "schema": SCHEMA,
        "report": str(found.path),
        **Fields("num_bytes question").of(found),
        "answer": list(map(_SENTENCE.of, found.answer)),
    }


def rows(found: Report) -> list[dict[str, Any]]:
    """One row a sentence, keyed by `COLUMNS`."""
    return [Fields("section text").of(one) for one in found.answer if not one.is_caveat]
