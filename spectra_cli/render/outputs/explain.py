"""Pages about families of errors: one in full, or all by their titles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spectra_cli.core.error_pages import ErrorPage
from spectra_cli.render.output import Output
from spectra_cli.render.table import Part, Table, key, line, words

SCHEMA = "spectra.explain/1"
COLUMNS = ("code", "title", "exit_code", "meaning", "remedies")


def output(pages: Mapping[str, ErrorPage], exit_codes: Mapping[str, int]) -> Output:
    """The pages, for every form: a single one in full.

    Args:
        pages: by their codes; exit_codes: of every code.
    """
    rows: list[dict[str, Any]] = [
        {
            "code": code,
            "title": page.title,
            "exit_code": exit_codes[code],
            "meaning": page.meaning,
            "remedies": list(page.remedies),
        }
        for code, page in pages.items()
    ]

    def tables() -> Iterator[Part]:
        if len(pages) > 1:
            yield Table(
                title="Families of errors (spectra explain CODE says what to do)",
                columns=(key("code"), words("what it is"), words("exit code")),
                rows=[[code, page.title, str(exit_codes[code])] for code, page in pages.items()],
            )
            return
        for code, page in pages.items():
            yield line((code, "bold"), f": {page.title} (exit code {exit_codes[code]})")
            yield line(page.meaning)
            for remedy in page.remedies:
                yield line(f"- {remedy}", hang=2)

    return Output(
        tables=tables,
        document=lambda: {"schema": SCHEMA, "errors": rows},
        columns=COLUMNS,
        rows=lambda: [row | {"remedies": " ".join(pages[row["code"]].remedies)} for row in rows],
    )
