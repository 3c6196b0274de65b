"""Variables and dimensions as netCDF-4 wants them, so that h5py and xarray users find labels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.errors import ArchiveError

TEXT = h5py.string_dtype()
_COMPRESSED_FROM_BYTES = 1 << 14
_CHUNK_BYTES = 1 << 18


def encoded(text: str) -> bytes:
    """Text as stored; bytes of a file name that are no UTF-8 survive as they are.

    Raises:
        ArchiveError: text that HDF5 cannot hold.
    """
    if "\0" not in text:
        with suppress(UnicodeEncodeError):
            return text.encode("utf-8", "surrogateescape")
    raise ArchiveError(f"cannot archive the text {text!r}: expected Unicode with no NUL character in it")


def text_attribute(node: Any, name: str, text: str) -> None:
    """Write a text attribute."""
    node.attrs.create(name, encoded(text), dtype=TEXT)


def _text_array(values: Sequence[str]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = [encoded(v) for v in values]
    return array


def read_text(group: Any, name: str, row: int | None = None) -> Any:
    """A text variable, or one row of it, as an object array of str."""
    return group[name].asstr(errors="surrogateescape")[() if row is None else row]


def create_dimension(group: Any, name: str, values: NDArray[Any] | Sequence[str], *, long_name: str) -> None:
    """A dimension with its coordinate: an HDF5 dimension scale of the same name."""
    data = values if isinstance(values, np.ndarray) else _text_array(values)
    scale = group.create_dataset(
        name, data=data, dtype=data.dtype if data.dtype != object else TEXT, track_times=False
    )
    scale.make_scale(name)
    text_attribute(scale, "long_name", long_name)


def create_variable(
    group: Any,
    name: str,
    data: NDArray[Any] | Sequence[str],
    dims: Sequence[str],
    *,
    long_name: str,
    units: str = "",
    fill: float | None = None,
) -> None:
    """A variable along dimensions of the same group, `fill` standing for what is not there."""
    if not isinstance(data, np.ndarray):
        data = _text_array(data)
    dtype = data.dtype if data.dtype != object else TEXT
    big = dtype != TEXT and data.nbytes >= _COMPRESSED_FROM_BYTES
    storage: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if big else {}
    variable = group.create_dataset(name, data=data, dtype=dtype, track_times=False, **storage)
    _label(group, variable, dims, long_name=long_name, units=units, fill=fill)


def create_rows(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    dtype: type,
    dims: Sequence[str],
    *,
    long_name: str,
    units: str,
) -> None:
    """A large NaN-padded variable that is filled one checkpoint (first axis) at a time.

    A chunk holds whole spectra of one checkpoint, about 256 KiB of them: reading a checkpoint
    touches only its own chunks, and one site costs one chunk a checkpoint.
    """
    site_bytes = int(np.prod(shape[2:])) * np.dtype(dtype).itemsize
    sites = min(shape[1], max(1, _CHUNK_BYTES // site_bytes))
    variable = group.create_dataset(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(1, sites, *shape[2:]),
        fillvalue=np.nan,
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        track_times=False,
    )
    _label(group, variable, dims, long_name=long_name, units=units, fill=np.nan)


def create_sparse_rows(
    group: Any, name: str, shape: tuple[int, ...], dtype: type, dims: Sequence[str], *, long_name: str
) -> None:
    """A large NaN-padded variable of which most cells (its first two axes) are only partly filled.

    Chunks that nothing is written to take no room, whatever the padded shape. Nothing is compressed:
    the entries are as good as random.
    """
    width = min(shape[-1], max(1, _CHUNK_BYTES // (shape[-2] * np.dtype(dtype).itemsize)))
    variable = group.create_dataset(
        name, shape=shape, dtype=dtype, chunks=(1, 1, shape[-2], width), fillvalue=np.nan, track_times=False
    )
    _label(group, variable, dims, long_name=long_name, units="", fill=np.nan)


def _label(
    group: Any, variable: Any, dims: Sequence[str], *, long_name: str, units: str, fill: float | None
) -> None:
    for axis, dim in enumerate(dims):
        variable.dims[axis].attach_scale(group[dim])
    text_attribute(variable, "long_name", long_name)
    if units:
        text_attribute(variable, "units", units)
    if fill is not None:
        variable.attrs.create("_FillValue", np.array([fill], dtype=variable.dtype))


def create_checkpoint_axis(group: Any, steps: Sequence[int | None]) -> None:
    """The dimension `checkpoint` with the coordinate `step`, the same in every group."""
    create_dimension(group, "checkpoint", np.arange(len(steps)), long_name="place in the series, from 0")
    create_variable(
        group,
        "step",
        np.array([-1 if s is None else s for s in steps], dtype=np.int64),
        ["checkpoint"],
        long_name="optimiser steps taken",
        fill=-1,
    )
