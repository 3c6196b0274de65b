"""A tidy table in the data structures of others, which are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.extras import from_extra

# the kind of a column's values -> what each library keeps them in
_PANDAS = {int: "int64", float: "float64", bool: "bool"}
_PANDAS_WITH_MISSING = {int: "Int64", float: "float64", bool: "boolean"}
_POLARS = {int: "Int64", float: "Float64", bool: "Boolean", str: "String"}
_NOTHING = {int: 0, float: np.nan, bool: False, str: ""}

Columns = Mapping[str, Sequence[Any]]
"""Name of a column -> its values, as many in each, None where there is none."""


def as_pandas(columns: Columns) -> Any:
    """The table as a `pandas.DataFrame`."""
    pandas = from_extra("pandas", "tables", "to_pandas()")
    return pandas.DataFrame({name: _series(pandas, values) for name, values in columns.items()})


def _series(pandas: Any, values: Sequence[Any]) -> Any:
    kinds = _PANDAS_WITH_MISSING if None in values else _PANDAS
    return pandas.Series(list(values), dtype=kinds.get(_kind(values)))


def as_polars(columns: Columns) -> Any:
    """The table as a `polars.DataFrame`."""
    polars = from_extra("polars", "tables", "to_polars()")
    return polars.DataFrame(
        [
            polars.Series(name, values, dtype=getattr(polars, _POLARS[_kind(values)]), strict=False)
            for name, values in columns.items()
        ]
    )


def as_xarray(columns: Columns, index: Sequence[str]) -> Any:
    """The table as an `xarray.Dataset` over the columns of its index, which together name a row."""
    xarray = from_extra("xarray", "tables", "to_xarray()")
    if not index:
        return xarray.Dataset({name: ("row", _whole(values)) for name, values in columns.items()})
    labels = {name: list(dict.fromkeys(columns[name])) for name in index}
    at = {name: _places(columns[name], own) for name, own in labels.items()}
    shape = tuple(map(len, labels.values()))
    flat = np.ravel_multi_index(tuple(at.values()), shape)
    coordinates: dict[str, Any] = {name: (name, _whole(own)) for name, own in labels.items()}
    variables: dict[str, Any] = {}
    for name, values in columns.items():
        if name in index:
            continue
        along = next((one for one in index if _follows(at[one], values)), None)
        if along is None:
            variables[name] = (tuple(labels), _array(values, int(np.prod(shape)), flat).reshape(shape))
        else:
            coordinates[name] = (along, _array(values, len(labels[along]), at[along]))
    return xarray.Dataset(variables, coords=coordinates)


def _places(values: Sequence[Any], labels: Sequence[Any]) -> NDArray[np.intp]:
    """(rows,) of each value, its place among the labels."""
    known = {label: place for place, label in enumerate(labels)}
    return np.array([known[value] for value in values], dtype=np.intp)


def _follows(places: Iterable[int], values: Sequence[Any]) -> bool:
    """Whether the value is the same wherever the place is."""
    known: dict[int, Any] = {}
    return all(known.setdefault(place, value) == value for place, value in zip(places, values, strict=True))


def _whole(values: Sequence[Any]) -> NDArray[Any]:
    return _array(values, len(values), range(len(values)))


def _array(values: Sequence[Any], size: int, places: Iterable[int]) -> NDArray[Any]:
    """(size,) the values at their places; elsewhere NaN, False or an empty text. Missing numbers are NaN."""
    kind = _kind(values)
    if kind is int and (None in values or len(values) < size):
        kind = float
    own = [_NOTHING[kind] if value is None else kind(value) for value in values]
    longest = max((len(str(value)) for value in own), default=0)
    array = np.full(size, _NOTHING[kind], dtype=f"U{max(longest, 1)}" if kind is str else kind)
    array[list(places)] = own
    return array


def _kind(values: Sequence[Any]) -> type:
    """`int`, `float`, `bool` or `str`: what all the values are that are there; `float` where none is."""
    kinds = {kind for kind in map(type, values) if kind is not type(None)}
    if kinds <= {float, int}:
        return int if kinds == {int} else float
    return bool if kinds == {bool} else str
