"""A notebook as a page: its text as it is, its cells of code as blocks. It is kept without outputs."""

from __future__ import annotations

from typing import Any

import nbformat
from myst_parser.parsers.sphinx_ import MystParser


class NotebookParser(MystParser):
    """Reads a notebook as the Markdown that it amounts to."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: Any) -> None:
        """Parse the cells, in their order."""
        super().parse(as_markdown(inputstring), document)


def as_markdown(notebook: str) -> str:
    """The page of a notebook's text."""
    cells = nbformat.reads(notebook, as_version=4).cells
    return "\n\n".join(
        cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```" for cell in cells
    )


def setup(app: Any) -> dict[str, bool]:
    """Have sphinx read notebooks."""
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}
