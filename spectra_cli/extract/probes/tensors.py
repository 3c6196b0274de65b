"""Tokens in `.npy`, `.pt` and `.safetensors` files: one stream (length,), or ready sequences as rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError, ProbeError
from spectra_cli.extract.checkpoints.files import safetensors_header as stored
from spectra_cli.extract.checkpoints.files.pickles import load_pickle
from spectra_cli.extract.probes.source import ProbeSource, TokenArray, each_file


def read_npy(path: Path) -> TokenArray:
    """The integer array of an `.npy` file, memory-mapped; pickled objects are refused.

    Raises:
        ProbeError: not an `.npy` file, or not integers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ProbeError(f"{path} cannot be read as an .npy array of integers: {error}") from error
    # np.load opens an .npz archive whatever the suffix says
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        found = getattr(array, "dtype", type(array).__name__)
        raise ProbeError(f"{path} holds {found}, expected one array of integer token ids")
    return array


NUMPY_ARRAY = ProbeSource(
    summary=".npy integer arrays: a stream of ids, or one sequence a row",
    suffixes=(".npy",),
    read=each_file(read_npy),
)


_TOKEN_KEYS = ("tokens", "input_ids")
_INTEGER_DTYPES = frozenset(
    {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64}
)


def _is_tokens(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype in _INTEGER_DTYPES


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def _token_tensor(content: object, path: Path) -> Tensor:
    """The one tensor that must be the tokens: alone, under a known key, or the only integers."""
    entries: Mapping[object, object] = content if isinstance(content, Mapping) else {"": content}
    named = [value for key, value in entries.items() if key in _TOKEN_KEYS and _is_tokens(value)]
    candidates = named or [value for value in entries.values() if _is_tokens(value)]
    if len(candidates) == 1 and isinstance(candidates[0], Tensor):
        return candidates[0]
    found = ", ".join(f"{key} {_describe(value)}".strip() for key, value in list(entries.items())[:8])
    raise ProbeError(
        f"{path} holds {found or 'nothing'}; expected one integer tensor, alone or under one of "
        f"{', '.join(_TOKEN_KEYS)}"
    )


def read_pt(path: Path) -> TokenArray:
    """The token tensor of a `.pt` file, unpickled weights-only: nothing of it is executed.

    Raises:
        ProbeError: other content, by name; a damaged file.
    """
    try:
        content = load_pickle(path)
    except CheckpointError as error:
        raise ProbeError(f"the probe {error}") from error
    array: TokenArray = _token_tensor(content, path).numpy()
    return array


def read_safetensors(path: Path) -> TokenArray:
    """The token tensor of a `.safetensors` file.

    Raises:
        ProbeError: other content, by name; a damaged file.
    """
    try:
        content = stored.read_safetensors(path)
    except CheckpointError as error:
        raise ProbeError(f"the probe {error}") from error
    array: TokenArray = _token_tensor(content, path).numpy()
    return array


PT_TENSOR = ProbeSource(
    summary=".pt files with one integer tensor, or one under `tokens` or `input_ids`",
    suffixes=(".pt", ".pth"),
    read=each_file(read_pt),
)
SAFETENSORS_TENSOR = ProbeSource(
    summary=".safetensors files with one integer tensor, or one under `tokens` or `input_ids`",
    suffixes=(".safetensors",),
    read=each_file(read_safetensors),
)
