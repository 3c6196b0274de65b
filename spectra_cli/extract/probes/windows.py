"""Streams cut into windows, and the choice of N of them: never wrapped around, never padded.

A stream gives a window at every multiple of its width; what is left at its end, and what would
span two files, is no window. Ready sequences give one window a row, its first ids.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.errors import ProbeError
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.probes.source import ProbeRequest, TokenArray, TokenFile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """The windows of one file.

    Attributes:
        file: the file.
        rows: (count, width) ids, a view of the file.
        offset: tokens in the files before it; stride: tokens from one window to the next.
    """

    file: TokenFile
    rows: TokenArray
    offset: int
    stride: int


def cut_windows(files: Sequence[TokenFile], request: ProbeRequest) -> tuple[Windows, ...]:
    """Every window of every file, in order.

    Raises:
        ProbeError: an empty file, rows that are too short, an array that is neither stream nor rows.
    """
    width, offset, windows = request.width, 0, []
    for file in files:
        ids = file.ids
        if ids.ndim not in (1, 2):
            raise ProbeError(f"{file.name} has shape {ids.shape}, expected a stream (length,) or rows of ids")
        if ids.size == 0:
            raise ProbeError(f"{file.name} holds no tokens; give the probe a file that does")
        if ids.ndim == 1:
            count, stride = ids.size // width, width
            rows = ids[: count * width].reshape(count, width)
        else:
            rows, stride = ids[:, :width], ids.shape[1]
            if stride < width:
                raise ProbeError(_too_short(file, request))
        windows.append(Windows(file=file, rows=rows, offset=offset, stride=stride))
        offset += ids.size
    return tuple(windows)


def choose_windows(windows: Sequence[Windows], request: ProbeRequest) -> NDArray[np.int64]:
    """Numbers (N,) of the chosen windows, counted through all files.

    A seeded choice is kept in the order in which it was drawn, not sorted: sequences are dealt in
    order into jackknife blocks, and blocks are only exchangeable if neighbours in the probe are no
    nearer to each other in the text than any two.

    Raises:
        ProbeError: there are fewer windows than sequences, with what would fit.
    """
    available = sum(len(w.rows) for w in windows)
    if available < request.num_sequences:
        raise ProbeError(_too_few([w.file for w in windows], request, available))
    if request.order == "file":
        return np.arange(request.num_sequences)
    return np.random.default_rng(request.seed).choice(available, size=request.num_sequences, replace=False)


def gather_windows(
    windows: Sequence[Windows], chosen: NDArray[np.int64], *, vocab_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The chosen windows (N, width) and the offset (N,) of each, in tokens through all files.

    Raises:
        ProbeError: an id that the vocabulary does not have, with its place.
    """
    ids = np.empty((len(chosen), windows[0].rows.shape[1]), dtype=np.int64)
    starts = np.empty(len(chosen), dtype=np.int64)
    first = 0
    for part in windows:
        here = (chosen >= first) & (chosen < first + len(part.rows))
        rows = chosen[here] - first
        ids[here] = read_rows(part.file, part.rows, rows, part.stride)
        starts[here] = part.offset + rows * part.stride
        outside = np.argwhere((ids[here] < 0) | (ids[here] >= vocab_size))
        if len(outside):
            row, column = outside[0]
            place = rows[row] * part.stride + column
            raise ProbeError(
                f"{part.file.name} has id {ids[here][row, column]} at token {place}, and the model's "
                f"vocabulary has ids 0 to {vocab_size - 1}; most often the tokens were made "
                "with another tokenizer, or are read with the wrong number of bytes a token"
            )
        first += len(part.rows)
    return ids, starts


def _too_short(file: TokenFile, request: ProbeRequest) -> str:
    found, length, width = file.ids.shape[1], request.sequence_length, request.width
    return (
        f"{file.name} holds sequences of {found} ids, and sequence length {length} with targets "
        f"{request.targets} needs {width}; --sequence-length {found - (width - length)} would fit"
    )


def _too_few(files: Sequence[TokenFile], request: ProbeRequest, available: int) -> str:
    wanted, length, width = request.num_sequences, request.sequence_length, request.width
    sizes = [file.ids.size for file in files]
    # one sequence has no spread: no scan takes fewer than two
    fits = [f"--sequences {available} --gradient-sequences {available}"] if available >= 2 else []
    if all(file.ids.ndim == 1 for file in files):
        # the number of windows falls as they widen: find the widest that still gives enough of them
        widths = range(1, max(sizes) + 1)
        widest = bisect_right(widths, -wanted, key=lambda wide: -sum(size // wide for size in sizes))
        longest = widest - (width - length)
        fits += [f"--sequence-length {longest}"] if longest >= 2 else []
    names = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
    return (
        f"{names}: {counted(sum(sizes), 'token')} {agreed(sum(sizes), 'holds', 'hold')} "
        f"{counted(available, 'sequence')} of {width} ids; {counted(wanted, 'sequence')} of "
        f"length {length} {agreed(wanted, 'needs', 'need')} {wanted * width} tokens; "
        + (f"{' or '.join(fits)} would fit" if fits else "give the probe more tokens")
    )


def read_rows(file: TokenFile, rows: TokenArray, chosen: NDArray[np.int64], stride: int) -> TokenArray:
    """Some of the windows of a file.

    Args:
        file: whose ids may be mapped; a mapping tells where they are, and is not looked into.
        rows: (count, width), every window as a view of the ids.
        chosen: (n,) numbers of windows.
        stride: tokens from one window to the next.

    Returns:
        (n, width) ids.

    Raises:
        ProbeError: the file has another size than when it was opened.
    """
    ids = file.ids
    if not isinstance(ids, np.memmap):
        return rows[chosen]
    kind: np.dtype[Any] = ids.dtype
    with open(file.name, "rb") as stored:
        size, expected = os.fstat(stored.fileno()).st_size, ids.offset + ids.nbytes
        if size != expected:
            raise ProbeError(_changed(file.name, size, expected))
        if not ids.flags.c_contiguous:  # columns one after another: every window is all over the file
            stored.seek(ids.offset)
            whole = np.frombuffer(stored.read(ids.nbytes), dtype=kind)
            if whole.size != ids.size:
                raise ProbeError(_changed(file.name, ids.offset + whole.nbytes, expected))
            columns: TokenArray = whole.reshape(ids.shape, order="F")
            return columns[chosen, : rows.shape[1]]
        found: TokenArray = np.empty((len(chosen), rows.shape[1]), dtype=kind)
        for place, number in enumerate(chosen.tolist()):
            stored.seek(ids.offset + number * stride * ids.itemsize)
            if stored.readinto(found[place].data) != found[place].nbytes:
                raise ProbeError(_changed(file.name, os.fstat(stored.fileno()).st_size, expected))
        return found


def _changed(name: str, size: int, expected: int) -> str:
    return (
        f"{name} has {size} bytes, and had {expected} when it was opened: it changed while it was being "
        "read; try again once nothing writes to it"
    )
