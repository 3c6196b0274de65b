"""What each format of export holds, read back by the program that it is for, as rows of Python values."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.render.tidy import TidyColumn

Rows = list[dict[str, Any]]


def _from_csv(path: Path, columns: Sequence[TidyColumn]) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{c.name: _cell(row.pop(c.name), c.kind) for c in columns} | row for row in rows]


def _cell(text: str, kind: type) -> Any:
    return text if kind is str else kind(text) if text else None


def _from_jsonl(path: Path, _: Sequence[TidyColumn]) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _from_parquet(path: Path, columns: Sequence[TidyColumn]) -> Rows:
    """By polars; pyarrow and pandas see the same."""
    import polars
    from pyarrow import parquet

    frame, table = polars.read_parquet(path), parquet.read_table(path)
    types = {str: polars.String, int: polars.Int64, float: polars.Float64}
    assert dict(frame.schema) == {each.name: types[each.kind] for each in columns}
    about = {field.name: field.metadata for field in table.schema}
    assert about == {c.name: {b"long_name": c.meaning.encode(), b"units": c.unit.encode()} for c in columns}
    rows: Rows = frame.to_dicts()
    assert table.to_pylist() == rows
    return rows


def _from_netcdf(path: Path, columns: Sequence[TidyColumn]) -> Rows:
    """By xarray, to a frame of pandas."""
    import xarray

    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        assert dict(dataset.sizes)["row"] == dataset.row.size
        for each in columns:
            assert dataset[each.name].attrs["long_name"] == each.meaning
            assert dataset[each.name].attrs.get("units", "") == each.unit
        frame = dataset.to_dataframe()
    assert list(frame.columns) == [each.name for each in columns]
    return [_without_nan(row, columns, unknown=None) for row in frame.to_dict("records")]


def _from_npz(path: Path, columns: Sequence[TidyColumn]) -> Rows:
    with np.load(path, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["attributes"]))
        assert {name: (one["long_name"], one["units"]) for name, one in about.items()} == {
            each.name: (each.meaning, each.unit) for each in columns
        }
        assert arrays.files == [*about, "attributes"]
        cells = zip(*(arrays[each.name].tolist() for each in columns), strict=True)
    names = [each.name for each in columns]
    return [_without_nan(dict(zip(names, row, strict=True)), columns, unknown=-1) for row in cells]


def _without_nan(
    row: Mapping[str, Any], columns: Sequence[TidyColumn], *, unknown: int | None
) -> dict[str, Any]:
    """None for a missing number: NaN, or what stands for an unknown count."""
    kinds = {each.name: each.kind for each in columns}
    return {
        name: cell if kinds[name] is str else _number(cell, kinds[name], unknown)
        for name, cell in row.items()
    }


def _number(cell: float, kind: type, unknown: int | None) -> Any:
    missing = math.isnan(cell) or (kind is int and cell == unknown)
    return None if missing else kind(cell)


# what writes a format or feeds a tracker, and what reads it here
NEEDED: Mapping[str, tuple[str, ...]] = {
    "parquet": ("pyarrow", "polars"),
    "nc": ("h5netcdf", "xarray"),
    "tensorboard": ("tensorboard",),
}
READERS: Mapping[str, Callable[[Path, Sequence[TidyColumn]], Rows]] = {
    "csv": _from_csv,
    "jsonl": _from_jsonl,
    "parquet": _from_parquet,
    "nc": _from_netcdf,
    "npz": _from_npz,
}
