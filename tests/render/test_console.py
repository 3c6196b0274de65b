from __future__ import annotations

from rich.table import Table
from rich.text import Text

from spectra_cli.render.console import WIDTH, messages, print_results


def test_results_are_100_columns_wide_and_plain_when_piped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "")
    print_results(Text("x" * WIDTH, style="bold red"))
    out, err = capsys.readouterr()
    assert (out, err) == ("x" * 100 + "\n", "")


def test_no_line_is_padded_with_blanks(capsys):
    table = Table()
    table.add_column("a" * 10)
    table.add_row("b")
    print_results(Text(), table, Text("after   "))
    out = capsys.readouterr().out
    assert out.startswith("\n")
    assert out.endswith("after\n")
    assert all(line == line.rstrip() for line in out.splitlines())


def test_messages_go_to_stderr_and_are_not_wrapped(capsys):
    messages().print("word " * 60, style="yellow")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_a_wide_table_is_cut_to_the_width(capsys):
    table = Table()
    for i in range(30):
        table.add_column(f"column {i}")
    table.add_row(*["value"] * 30)
    print_results(table)
    assert all(len(line) <= WIDTH for line in capsys.readouterr().out.splitlines())
