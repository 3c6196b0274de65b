from __future__ import annotations

import pytest
from rich.table import Table

from spectra_cli.render.console import WIDTH, messages, results


def test_results_are_100_columns_wide_and_plain_when_piped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "")
    console = results()
    console.print("x" * 99, style="bold red")
    out, err = capsys.readouterr()
    assert console.width == WIDTH == 100
    assert (out, err) == ("x" * 99 + "\n", "")


def test_messages_go_to_stderr_and_are_not_wrapped(capsys):
    messages().print("word " * 60, style="yellow")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("make", [results, messages])
def test_numbers_are_not_coloured(make):
    assert make().options.highlight is not True


def test_a_wide_table_is_cut_to_the_width(capsys):
    table = Table()
    for i in range(30):
        table.add_column(f"column {i}")
    table.add_row(*["value"] * 30)
    results().print(table)
    assert all(len(line) <= WIDTH for line in capsys.readouterr().out.splitlines())
