"""NumPy's .npz: a plain array a column or a variable, and what each is under `attributes`, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spectra_cli.render.exports.target import TEXT_KIND, ArrayGroup, FileTarget, FlatTable

ATTRIBUTES = "attributes"


def write(table: FlatTable, stream: BinaryIO) -> None:
    """Write an array (rows,) a column."""
    about = {each.name: _about(("row",), each.meaning, each.unit) for each in table.columns}
    _save(stream, table.whole(), about)


def write_arrays(groups: Iterable[ArrayGroup], stream: BinaryIO) -> None:
    """Write an array a variable, as GROUP.VARIABLE."""
    arrays: dict[str, NDArray[Any]] = {}
    about: dict[str, Any] = {}
    for group in groups:
        for each in (*group.coordinates, *group.variables):
            arrays[f"{group.name}.{each.name}"] = each.values
            about[f"{group.name}.{each.name}"] = _about(each.dims, each.meaning, each.unit)
    _save(stream, arrays, about)


def _about(dims: tuple[str, ...], meaning: str, unit: str) -> dict[str, Any]:
    return {"dims": dims, "long_name": meaning, "units": unit}


def _save(stream: BinaryIO, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Text is kept as text, of fixed width: nothing in the file needs a pickle."""
    plain: dict[str, Any] = {
        name: values.astype(np.str_) if values.dtype == TEXT_KIND else values
        for name, values in arrays.items()
    }
    plain[ATTRIBUTES] = np.array(json.dumps(about))
    np.savez_compressed(stream, **plain)


TARGET = FileTarget(write=write, write_arrays=write_arrays)
