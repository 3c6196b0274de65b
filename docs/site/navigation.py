"""The navigation of the site is what the index links, in its order and under its headings.

A page `NAME.md` beside a folder `NAME/` stands before the pages of that folder which it links. A page that
neither links is in no navigation, of which sphinx warns.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

INDEX = "docs/index"
_HEADING = re.compile(r"^\*\*(.+)\*\*$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s:]+)\.(?:md|ipynb)\)")


def setup(app: Any) -> dict[str, bool]:
    """Have sphinx read every page with the navigation that it makes."""
    app.connect("source-read", _add_navigation)
    return {"parallel_read_safe": True}


def _add_navigation(app: Any, page: str, source: list[str]) -> None:
    if page == app.config.root_doc:
        index = Path(app.srcdir, f"{INDEX}.md").read_text()
        source[0] += _toctree("", [INDEX]) + "".join(
            _toctree(heading, pages) for heading, pages in sections(index)
        )
    elif page != INDEX:
        inside = [linked for linked in linked_from(source[0], page) if linked.startswith(f"{page}/")]
        source[0] += _toctree("", inside) if inside else ""


def sections(index: str) -> list[tuple[str, list[str]]]:
    """Heading and pages of each part of the index.

    >>> sections("[a](../README.md)\\n\\n**How to**\\n\\n- [go](go.md)\\n\\n[Changes](../CHANGELOG.md)\\n")
    [('How to', ['docs/go', 'CHANGELOG'])]
    """
    parts = _HEADING.split(index)
    return [
        (heading, linked_from(text, INDEX)) for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    ]


def linked_from(text: str, page: str) -> list[str]:
    """The pages that a page links, each once.

    >>> linked_from("[a](b/a.md), [again](b/a.md), [top](../README.md#start)", "docs/b")
    ['docs/b/a']
    """
    folder = posixpath.dirname(page)
    return list(dict.fromkeys(posixpath.normpath(f"{folder}/{path}") for path in _LINK.findall(text)))


def _toctree(heading: str, pages: list[str]) -> str:
    caption = f":caption: {heading}\n" if heading else ""
    return f"\n```{{toctree}}\n:hidden:\n{caption}\n" + "".join(f"/{page}\n" for page in pages) + "```\n"
