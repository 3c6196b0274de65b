from __future__ import annotations

import pytest

from spectra_cli.api.outputs.tidy_table import output, tables
from spectra_cli.api.values.tidy_table import TidyTable
from spectra_cli.render.forms.registry import FORMS
from spectra_cli.render.table import Table
from tests.builders.every_form import nothing_is_lost


def of(count: int, **changes: object) -> TidyTable:
    rows = tuple(
        {"run": "a", "step": n, "value": n / 7, "stderr": 0.01, "reason": f"because {n}"}
        for n in range(count)
    )
    return TidyTable(**({"columns": tuple(rows[0]), "rows": rows, "index": ("step",)} | changes))


def printed(table: TidyTable) -> Table:
    (one,) = tables(table)
    assert isinstance(one, Table)
    return one


@pytest.mark.parametrize("form", FORMS)
def test_no_form_loses_anything_that_is_printed(form):
    nothing_is_lost(output(of(3, title="<b>T</b>")), form)


def test_a_value_stands_with_its_error_and_what_is_always_the_same_below():
    table = printed(of(3))
    assert [column.title for column in table.columns] == ["step", "value", "reason"]
    assert table.rows[1] == ["1", "0.143±0.010", "because 1"]
    assert [note.text for note in table.notes] == ["the same in all rows: run a"]


def test_of_many_rows_it_shows_both_ends_and_says_so():
    table = printed(of(100))
    assert [row[0] for row in table.rows] == [str(n) for n in (*range(10), *range(90, 100))]
    assert table.notes[0].text.startswith("20 of 100 rows: the first and the last 10; .rows, .to_pandas()")
    assert len(list(output(of(100)).rows())) == len(output(of(100)).document()["rows"]) == 100


def test_what_leads_always_stands():
    table = printed(of(3, leading=("value",)))
    assert {column.title: column.dispensable for column in table.columns} == {
        "step": 0,
        "value": 0,
        "reason": 1,
    }


def test_no_rows_are_told():
    (one,) = tables(of(3, rows=()))
    assert one.text == "Table: no rows"


def test_one_row_has_all_its_columns():
    assert [column.title for column in printed(of(1)).columns] == ["run", "step", "value", "reason"]


def test_a_paragraph_stands_once_below_the_table_and_not_in_a_cell():
    said = "this notice is so long that a cell of it would make a row of six lines or more"
    rows = tuple({"step": n, "value": 1.0 * n, "notices": said if n else ""} for n in range(3))
    shown = printed(TidyTable(columns=("step", "value", "notices"), rows=rows, index=("step",)))
    assert [column.title for column in shown.columns] == ["step", "value"]
    assert [note.text for note in shown.notes] == [f"notices of 1, 2: {said}"]
