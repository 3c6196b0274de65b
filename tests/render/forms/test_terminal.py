"""Where output goes, how wide it is, and what never reaches a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from spectra_cli.render.console import say
from spectra_cli.render.forms.terminal import LEAST_WIDTH, PIPE_WIDTH, printed_lines, write
from spectra_cli.render.output import Output
from spectra_cli.render.table import Table, key, line, number


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def of(*parts) -> Output:
    return Output(tables=lambda: parts, document=dict, columns=(), rows=list)


def on_terminal(monkeypatch, width: int, *parts) -> list[str]:
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    write(of(*parts), stream)
    return stream.getvalue().splitlines()


def test_results_are_100_columns_wide_and_plain_when_piped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "")
    stream = io.StringIO()
    write(of(line("x" * PIPE_WIDTH, style="bold red")), stream)
    assert stream.getvalue() == "x" * 100 + "\n"
    assert capsys.readouterr() == ("", "")


def test_no_line_is_padded_with_blanks():
    table = Table(title="t", columns=[key("a" * 10), number("n")], rows=[["b", ""]])
    stream = io.StringIO()
    write(of(line(""), table, line("after   ")), stream)
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
def test_markup_in_a_text_is_text(capsys, markup):
    write(of(line(markup), Table(columns=[key(markup)], rows=[[markup]])), sys.stdout)
    say(markup)
    out, err = capsys.readouterr()
    assert out.splitlines().count(markup) == 3
    assert err == markup + "\n"


def test_messages_go_to_stderr_and_are_not_wrapped(capsys):
    say("word " * 60)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err
