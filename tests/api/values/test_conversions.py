"""Round trips with the real libraries: nothing is lost, and nothing that is missing becomes a number."""

from __future__ import annotations

import math
import sys

import numpy as np
import polars
import pytest

from spectra_cli.api.values.tidy_table import TidyTable
from spectra_cli.core.errors import UsageError

ROWS = (
    {"checkpoint": "step0", "site": "a", "step": 0, "layer": None, "value": 1.5, "exact": True, "why": ""},
    {"checkpoint": "step0", "site": "b", "step": 0, "layer": 3, "value": None, "exact": False, "why": "zero"},
    {"checkpoint": "step9", "site": "b", "step": 9, "layer": 3, "value": -2.5, "exact": True, "why": "<b>&"},
)
NAMES = tuple(ROWS[0])
TABLE = TidyTable(columns=NAMES, rows=ROWS, index=("checkpoint", "site"))


def test_pandas_has_every_value_in_a_column_of_its_kind():
    frame = TABLE.to_pandas()
    assert list(frame.columns) == list(NAMES)
    assert frame["step"].dtype == "int64"
    assert frame["layer"].dtype == "Int64"
    assert frame["value"].dtype == "float64"
    assert frame["exact"].dtype == "bool"
    back = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert back == list(ROWS)


def test_polars_has_every_value_in_a_column_of_its_kind():
    frame = TABLE.to_polars()
    kinds = {"step": polars.Int64, "layer": polars.Int64, "value": polars.Float64, "exact": polars.Boolean}
    assert {name: frame.schema[name] for name in kinds} == kinds
    assert frame.rows(named=True) == list(ROWS)


def test_xarray_has_a_dimension_for_each_column_of_the_index():
    dataset = TABLE.to_xarray()
    assert dict(dataset.sizes) == {"checkpoint": 2, "site": 2}
    for row in ROWS:
        here = dataset.sel(checkpoint=row["checkpoint"], site=row["site"])
        assert float(here.value) == pytest.approx(
            math.nan if row["value"] is None else row["value"], nan_ok=True
        )
        assert str(here.why.item()) == row["why"]
    nowhere = dataset.sel(checkpoint="step9", site="a")
    assert np.isnan(nowhere.value)
    assert str(nowhere.why.item()) == ""


def test_what_follows_from_one_dimension_is_a_coordinate_along_it():
    dataset = TABLE.to_xarray()
    assert dataset.step.dims == ("checkpoint",)
    assert dataset.step.values.tolist() == [0, 9]
    assert dataset.layer.dims == ("site",)
    assert dataset.swap_dims(checkpoint="step").sel(step=9, site="b").value == -2.5


def test_without_an_index_the_one_dimension_is_the_row():
    dataset = TidyTable(columns=NAMES, rows=ROWS).to_xarray()
    assert dict(dataset.sizes) == {"row": 3}
    assert dataset.why.values.tolist() == ["", "zero", "<b>&"]


def test_a_column_of_nothing_is_one_of_numbers_that_are_missing():
    table = TidyTable(columns=("loss",), rows=({"loss": None}, {"loss": None}))
    assert table.to_pandas()["loss"].isna().all()
    assert table.to_polars()["loss"].null_count() == 2
    assert np.isnan(table.to_xarray().loss).all()


def test_whole_numbers_among_others_are_numbers():
    table = TidyTable(columns=("value",), rows=({"value": 3}, {"value": 0.5}))
    assert table.to_pandas()["value"].tolist() == table.to_polars()["value"].to_list() == [3.0, 0.5]


def test_a_run_with_all_its_statistics_goes_through_all_three(run):
    table = run.table()
    values = np.array([math.nan if value is None else value for value in table["value"]])
    np.testing.assert_array_equal(table.to_pandas()["value"].to_numpy(), values)
    np.testing.assert_array_equal(table.to_polars()["value"].fill_null(math.nan).to_numpy(), values)
    dataset = table.to_xarray()
    for row in table.rows[:: len(table) // 20]:
        found = float(dataset.value.sel({name: row[name] for name in table.index}))
        assert found == row["value"] or (math.isnan(found) and row["value"] is None)
    assert np.isfinite(dataset.value).sum() == np.isfinite(values).sum()


@pytest.mark.parametrize("package", ["pandas", "polars", "xarray"])
def test_a_package_that_is_not_installed_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"to_{package}\(\) needs the package {package}.*\[tables\]"):
        getattr(TABLE, f"to_{package}")()
