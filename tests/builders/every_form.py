"""What each form must hold of an output, read back from its text by other means than wrote it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from unittest.mock import patch

from markdown_it import MarkdownIt

from spectra_cli.render.forms.registry import form_of
from spectra_cli.render.output import Output
from spectra_cli.render.table import Drawing, Part, Table
from spectra_cli.render.text.neutral import for_csv, for_terminal
from spectra_cli.render.text.sparks import PLAIN_SPARKS

_COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def output_of(*parts: Part) -> Output:
    """An output of these paragraphs and tables, and nothing else."""
    return Output(tables=lambda: parts, document=dict, columns=(), rows=list)


def written(output: Output, form: str) -> str:
    """The text of a form on a terminal that is wide enough for everything."""
    stream = Terminal()
    with patch.dict("os.environ", {"COLUMNS": "20000", "TERM": "xterm", "NO_COLOR": "1"}):
        form_of(form).write(output, stream)
    return stream.getvalue()


def nothing_is_lost(output: Output, form: str) -> None:
    """Fail where the text of a form lacks anything of an output, or has it at another place."""
    HOLDS[form](output, written(output, form))


def _collapsed(text: str) -> str:
    return " ".join(for_terminal(text).split())


def _told(output: Output, *, with_heads: bool) -> list[list[str]]:
    """Each paragraph, and each row of each table, as its texts; blank ones left out."""
    told: list[list[str]] = []
    for part in output.tables():
        if not isinstance(part, Table):
            told.append([part.text])
            continue
        heads = [[column.title.replace("\n", " ") for column in part.columns]] * with_heads
        told += [[part.title], *heads, *map(list, part.rows), *([note.text] for note in part.notes)]
    return [texts for each in told if any(texts := [*map(_collapsed, each)])]


def _terminal_holds(output: Output, text: str) -> None:
    lines = iter([" ".join(line.split()) for line in _COLOURS.sub("", text).splitlines()])
    drawings = [part for part in output.tables() if isinstance(part, Drawing)]
    drawn = [_collapsed(part.text) for part in drawings]
    for texts in _told(output, with_heads=False):
        row = " ".join(filter(None, texts)).translate(PLAIN_SPARKS)
        assert row in drawn or row in lines, f"{row!r} is not there, or not in its place"
    for drawing in drawings:
        assert all(_collapsed(row.text) in _collapsed(text) for row in drawing.draw_plain(100))
    for part in output.tables():
        for column in part.columns if isinstance(part, Table) else ():
            assert all(_collapsed(line) in _collapsed(text) for line in column.title.split("\n"))


def _json_holds(output: Output, text: str) -> None:
    assert json.loads(text) == json.loads(json.dumps(output.document()))


def _csv_holds(output: Output, text: str) -> None:
    head, *rows = csv.reader(io.StringIO(text))
    assert head == list(output.columns)
    assert rows == [[_cell(row[name]) for name in output.columns] for row in output.rows()]


def _cell(value: object) -> str:
    return "" if value is None else for_csv(value) if isinstance(value, str) else str(value)


def _markdown_holds(output: Output, text: str) -> None:
    assert markdown_texts(text) == _told(output, with_heads=True)


def markdown_texts(text: str) -> list[list[str]]:
    """What a reader of Markdown sees: the text of each paragraph and of each row of a table."""
    seen: list[list[str]] = []
    mark, in_row = "", False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "tr_open":
            seen.append([])
        in_row = token.type in ("td_open", "th_open") or (in_row and token.type == "inline")
        mark = "- " if token.type == "list_item_open" else mark
        if token.type == "fence":
            seen.append([" ".join(token.content.split())])
        if token.type == "inline":
            children = token.children or []
            assert {child.type for child in children} <= {"text", "strong_open", "strong_close"}, (
                token.content
            )
            shown = " ".join((mark + "".join(child.content for child in children)).split())
            if in_row:
                seen[-1].append(shown)
            else:
                seen.append([shown])
            mark = ""
    return [texts for texts in seen if any(texts)]


class _Reader(HTMLParser):
    """What a reader of HTML sees, and of what elements and attributes it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[str]] = []
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(attrs)
        if tag in ("p", "caption", "pre"):
            self.seen.append([""])
        elif tag == "tr":
            self.seen.append([])
        elif tag in ("td", "th"):
            self.seen[-1].append("")
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self.seen and self.seen[-1]:
            self.seen[-1][-1] += data


HTML_ELEMENTS = {"body", "br", "caption", "div", "em", "head", "html", "meta", "p", "span", "strong", "style"}
HTML_ELEMENTS |= {"pre", "table", "td", "th", "title", "tr"}
_HTML_ATTRIBUTES = {"charset", "class", "content", "lang", "name", "style"}


def html_texts(text: str) -> list[list[str]]:
    """The text of each paragraph, caption and row; fails where an element or an attribute is not our own."""
    reader = _Reader()
    reader.feed(text.partition("<body>")[2] or text)
    assert reader.elements <= HTML_ELEMENTS, reader.elements
    assert {name for name, _ in reader.attributes} <= _HTML_ATTRIBUTES, reader.attributes
    collapsed = [[" ".join(one.split()) for one in texts] for texts in reader.seen]
    return [texts for texts in collapsed if any(texts)]


def _html_holds(output: Output, text: str) -> None:
    assert html_texts(text) == _told(output, with_heads=True)


HOLDS: Mapping[str, Callable[[Output, str], None]] = {
    "table": _terminal_holds,
    "json": _json_holds,
    "csv": _csv_holds,
    "markdown": _markdown_holds,
    "html": _html_holds,
}
