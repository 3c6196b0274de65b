"""How wide output is on a terminal and in a pipe, and what never reaches either."""

from __future__ import annotations

import io

import pytest

from spectra_cli.render.forms.terminal import LEAST_WIDTH, PIPE_WIDTH, printed_lines, write
from spectra_cli.render.table import Table, key, line, number
from tests.builders.every_form import Terminal, output_of


def on_terminal(monkeypatch, width: int, *parts) -> list[str]:
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    write(output_of(*parts), stream)
    return stream.getvalue().splitlines()


def test_results_are_100_columns_wide_and_plain_when_piped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "")
    stream = io.StringIO()
    write(output_of(line("x" * PIPE_WIDTH, style="bold red")), stream)
    assert stream.getvalue() == "x" * 100 + "\n"
    assert capsys.readouterr() == ("", "")


def test_no_line_is_padded_with_blanks():
    table = Table(title="t", columns=[key("a" * 10), number("n")], rows=[["b", ""]])
    stream = io.StringIO()
    write(output_of(line(""), table, line("after   ")), stream)
    out = stream.getvalue()
    assert out.startswith("\n")
    assert out.endswith("after\n")
    assert all(row == row.rstrip() for row in out.splitlines())


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_prose_is_as_wide_as_the_terminal_and_wrapped_once(monkeypatch, width):
    told = "one two three four five six seven " * 12
    lines = on_terminal(monkeypatch, width, line(told.strip(), hang=2))
    assert " ".join(each.strip() for each in lines) == told.strip()
    assert all(width - 8 < len(each) <= width for each in lines[:-1])  # wrapped twice, every other is short
    assert all(each.startswith("  ") for each in lines[1:])


def test_a_terminal_below_the_least_width_gets_lines_of_it(monkeypatch):
    assert max(map(len, on_terminal(monkeypatch, 20, line("word " * 40)))) > LEAST_WIDTH - 5


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "\x9b2J", "a\u202eb", "one\r\ntwo", "\x07", "\ud800"])
def test_nothing_in_a_text_acts_on_the_terminal(hostile):
    table = Table(title=hostile, columns=[key(hostile)], rows=[[hostile]], notes=[line(hostile)])
    for part in (line((hostile, "bold")), table):
        for text in printed_lines(part, 60):
            assert all(char.isprintable() for char in text.plain)


@pytest.mark.parametrize("markup", ["[bold]x[/bold]", "[/]", ":smile:", "[link=http://a]b[/link]"])
def test_markup_in_a_text_is_text(markup):
    stream = io.StringIO()
    write(output_of(line(markup), Table(columns=[key(markup)], rows=[[markup]])), stream)
    assert stream.getvalue().splitlines().count(markup) == 3
