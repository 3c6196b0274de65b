"""NetCDF-4, by h5netcdf: variables with units along named dimensions, after the CF conventions.

h5netcdf writes groups, 64-bit integers and text, none of which the NetCDF-3 of scipy has, on the h5py that is
installed anyway; the netCDF4 package would bring a second HDF5 library into the process.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spectra_cli.render.exports.target import (
    TEXT_KIND,
    UNKNOWN_COUNT,
    ArrayGroup,
    FileTarget,
    FlatTable,
    Variable,
    encodable,
)

_STRINGS = np.dtype(object, metadata={"vlen": str})  # what h5py knows texts of any length by
_STORED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def write(table: FlatTable, stream: BinaryIO) -> None:
    """Write a variable a column along the dimension `row`."""
    whole = table.whole()
    variables = tuple(
        Variable(name=each.name, dims=("row",), values=whole[each.name], meaning=each.meaning, unit=each.unit)
        for each in table.columns
    )
    _write(stream, lambda root: _fill(root, ArrayGroup(name="", coordinates=(), variables=variables)))


def write_arrays(groups: Iterable[ArrayGroup], stream: BinaryIO) -> None:
    """Write a group each, with its coordinates."""

    def fill(root: Any) -> None:
        for group in groups:
            _fill(root.create_group(group.name), group)

    _write(stream, fill)


def _write(stream: BinaryIO, fill: Any) -> None:
    """Made in memory: HDF5 crashes the process where a disk is full."""
    import h5netcdf

    made = io.BytesIO()
    with h5netcdf.File(made, "w", track_order=True) as root:
        root.attrs["Conventions"] = "CF-1.11"
        root.attrs["source"] = "spectra export"
        fill(root)
    stream.write(made.getbuffer())


def _fill(node: Any, group: ArrayGroup) -> None:
    every = (*group.coordinates, *group.variables)
    node.dimensions = {
        dim: size for one in every for dim, size in zip(one.dims, one.values.shape, strict=True)
    }
    for one in every:
        _create(node, one)
    for one in group.variables:
        along = [each.name for each in group.coordinates if {*each.dims} <= {*one.dims}]
        if labels := [name for name in along if name not in one.dims]:
            node.variables[one.name].attrs["coordinates"] = " ".join(labels)


def _create(node: Any, one: Variable) -> None:
    """Text is stored as characters, which can be compressed; as strings where it labels its own dimension."""
    if one.values.dtype != TEXT_KIND:
        fill = UNKNOWN_COUNT if one.values.dtype == np.int64 else math.nan
        if one.name in one.dims:
            made = node.create_variable(one.name, one.dims, one.values.dtype, data=one.values)
        else:
            made = node.create_variable(
                one.name, one.dims, one.values.dtype, data=one.values, fillvalue=fill, **_STORED
            )
    elif one.name in one.dims:
        texts = np.array([encodable(text) for text in one.values], dtype=TEXT_KIND)
        made = node.create_variable(one.name, one.dims, _STRINGS, data=texts)
    else:
        letters = _letters(one.values)
        dim = f"{one.name}_length"
        node.dimensions[dim] = letters.shape[-1]
        made = node.create_variable(one.name, (*one.dims, dim), letters.dtype, data=letters, **_STORED)
        made.attrs["_Encoding"] = "utf-8"
    made.attrs["long_name"] = one.meaning
    if one.unit:
        made.attrs["units"] = encodable(one.unit)


def _letters(texts: NDArray[Any]) -> NDArray[np.bytes_]:
    """(..., longest) the bytes of each text, in UTF-8, with NULs behind them."""
    encoded = [encodable(text).encode() for text in texts.ravel()]
    longest = max(1, *map(len, encoded))
    return np.array(encoded, dtype=f"S{longest}").view("S1").reshape(*texts.shape, longest)


TARGET = FileTarget(write=write, write_arrays=write_arrays, needs=("h5netcdf", "netcdf"))
