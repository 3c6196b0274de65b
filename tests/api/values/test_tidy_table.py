from __future__ import annotations

import pytest

from spectra_cli.api.values.tidy_table import TidyTable
from spectra_cli.core.errors import UsageError

TABLE = TidyTable(
    columns=("run", "step", "value"),
    rows=({"run": "a", "step": 0, "value": 1.5}, {"run": "a", "step": 10, "value": None}),
)


def test_columns_and_rows_are_read_as_they_are():
    assert len(TABLE) == 2
    assert TABLE["value"] == [1.5, None]
    assert [row["step"] for row in TABLE] == [0, 10]


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(UsageError, match=r"'values' \(did you mean value\?\); columns: run, step, value"):
        TABLE["values"]


def test_no_rows_are_a_table_too():
    empty = TidyTable(columns=("step",), rows=())
    assert len(empty) == 0
    assert empty["step"] == []
    assert len(empty.to_pandas()) == len(empty.to_polars()) == 0
