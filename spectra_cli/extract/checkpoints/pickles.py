"""PyTorch pickles, read weights-only with a short list of harmless types; nothing is executed.

NumPy's types are replaced by stand-ins of the same pickled name: NumPy's own reconstructors trust
what they are given, and a crafted dtype can make them read raw memory as objects. The stand-ins
accept numbers only.
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import numpy as np
import torch

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.pickle_opcodes import HostilePickle, check_pickle


class StoredDtype:
    """A number type as NumPy pickles it: a code such as `u4`, then its byte order."""

    def __init__(self, code: str, *_flags: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[biufc]\d{1,2}", code):
            raise pickle.UnpicklingError(f"NumPy type {code!r} is not a plain number type")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class StoredArray:
    """A NumPy array of numbers as pickled (the Mersenne Twister's state, for one)."""

    def __init__(self) -> None:
        self.values = np.empty(0)

    def __setstate__(self, state: Sequence[Any]) -> None:
        _version, shape, stored, fortran_order, content = state
        flat = np.frombuffer(content, dtype=_dtype_of(stored))
        self.values = flat.reshape(shape, order="F" if fortran_order else "C")


def _dtype_of(stored: object) -> np.dtype[Any]:
    if not isinstance(stored, StoredDtype):
        raise pickle.UnpicklingError(f"expected a NumPy number type, found {type(stored).__name__}")
    return stored.dtype


def _new_array(*_arguments: object) -> StoredArray:
    return StoredArray()


def _python_number(stored: object, content: bytes) -> Any:
    return np.frombuffer(content, dtype=_dtype_of(stored))[0].item()


def _plain_dict(*_factory: object) -> dict[Any, Any]:
    return {}


# Pickled name -> what is called in its place. NumPy 1 writes `numpy.core`, NumPy 2 `numpy._core`;
# Python 3.13 writes `pathlib._local`. A default factory is named in the file, and never called.
_HARMLESS: dict[str, Callable[..., Any]] = {
    **{f"numpy.{core}.multiarray._reconstruct": _new_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _python_number for core in ("core", "_core")},
    "numpy.ndarray": StoredArray,
    "numpy.dtype": StoredDtype,
    "argparse.Namespace": argparse.Namespace,
    **{
        f"{module}.{pure}{name}": kind
        for module in ("pathlib", "pathlib._local")
        for pure in ("", "Pure")
        for name, kind in (("PosixPath", PurePosixPath), ("WindowsPath", PureWindowsPath))
    },
    "collections.defaultdict": _plain_dict,
    **{f"builtins.{kind.__name__}": kind for kind in (list, dict, int, float)},
}
_ALLOWED: list[Any] = [(stand_in, name) for name, stand_in in _HARMLESS.items()]


@contextmanager
def _harmless_types_only() -> Iterator[None]:
    """PyTorch's own allow-list and the stand-ins, without what any imported library has added."""
    others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            yield
    finally:
        torch.serialization.add_safe_globals(others)


_ZIP_MAGIC = b"PK\x03\x04"
_NUM_LEGACY_PICKLES = 5

# Damaged bytes reach the unpickler as instructions, so that any of these may come out of it.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


def load_pickle(path: Path) -> Any:
    """What `torch.save` wrote to `path`, on the CPU, its tensors mapped from the file.

    Mapped tensors are read when they are used, so that asking for shapes costs milliseconds. Only
    files of the format before PyTorch 1.6 cannot be mapped: they are read into memory.

    Raises:
        UnsafePickleError: it needs types outside the allow-list; they are named, nothing was run.
        CheckpointError: not a PyTorch file, or a damaged one.
    """
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: no regular file; expected one of torch.save")
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == _ZIP_MAGIC
        if zipped:
            _check_archive(path, path)
        else:
            _check_legacy(path)
        with warnings.catch_warnings(), _harmless_types_only():
            # Said in the error where it matters: another pickle protocol fails on its first new opcode.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return torch.load(path, map_location="cpu", mmap=zipped, weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error, zipped=zipped) from error
    except _DAMAGE as error:
        raise CheckpointError(
            f"{path}: cannot be read as a PyTorch file ({_size(path)}): {_reason(error)}. "
            "It is damaged, half-written or of another kind: copy or save it again"
        ) from error


def load_record(stream: IO[bytes], where: str) -> Any:
    """What `torch.save` wrote to a part of a larger file, read into memory on the CPU.

    Args:
        stream: that part alone, a zip archive; `where`: its name in messages.

    Raises:
        UnsafePickleError: it needs types outside the allow-list; nothing was run.
        CheckpointError: damaged.
    """
    try:
        _check_archive(stream, where)
        stream.seek(0)
        with _harmless_types_only():
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needed = ", ".join(_refused_types(error)) or f"what weights-only loading refuses ({_reason(error)})"
        raise UnsafePickleError(
            f"{where}: needs {needed}. Nothing of it was executed. Expected tensors, numbers and plain "
            "containers"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(f"{where}: cannot be read: {_reason(error)}; copy or save it again") from error


def _check_archive(archived: Path | IO[bytes], path: Path | str) -> None:
    """Refuse archives that `torch.load` would misread: TorchScript, or compressed by another tool."""
    with zipfile.ZipFile(archived) as archive:
        records = archive.infolist()
        if any(record.filename.endswith("/constants.pkl") for record in records):
            raise CheckpointError(
                f"{path}: a TorchScript program, not a state dict; expected a file of torch.save"
            )
        for record in records:
            if record.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{path}: {record.filename} is compressed; torch.save stores its records plainly, "
                    "so another tool rewrote this file: save it again with torch.save"
                )
            # whichever of several, and in whatever case, PyTorch's own reader would take
            if record.filename.lower().endswith("/data.pkl"):
                record.CRC = None  # type: ignore[assignment]  # torch.save can be told to leave it out
                check_pickle(archive.read(record))


def _check_legacy(path: Path) -> None:
    """The pickles of the format before PyTorch 1.6: magic number, version, system, content, storage keys.

    Raises:
        pickle.UnpicklingError: hostile, or no such pickles.
    """
    with path.open("rb") as file:
        for _ in range(_NUM_LEGACY_PICKLES):
            try:
                check_pickle(file)
            except ValueError as error:
                raise pickle.UnpicklingError(str(error)) from error


def _refusal(path: Path, error: pickle.UnpicklingError, *, zipped: bool) -> CheckpointError:
    needed = _needed_types(path, zipped=zipped) or _refused_types(error)
    if needed:
        return UnsafePickleError(
            f"{path}: needs types outside the allow-list: {', '.join(sorted(set(needed)))}. Nothing of it "
            "was executed. If you trust its origin, load it there and save the state dict alone"
        )
    # The directory and the checksums of a zip archive hold, so this is its content, not damage.
    if zipped or isinstance(error, HostilePickle):
        return UnsafePickleError(
            f"{path}: refused by weights-only loading: {_reason(error)}. Nothing of it was executed. "
            "Expected tensors, numbers and plain containers in the pickle protocol of torch.save (2)"
        )
    return CheckpointError(
        f"{path}: not a PyTorch file, or a damaged one ({_size(path)}): {_reason(error)}. "
        "Copy or save it again"
    )


def _refused_types(error: pickle.UnpicklingError) -> list[str]:
    return re.findall(r"GLOBAL (\S+) (?:was not an allowed|whose module)", str(error))


def _needed_types(path: Path, *, zipped: bool) -> list[str]:
    if not zipped:
        return []
    try:
        with _harmless_types_only():
            return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (pickle.UnpicklingError, *_DAMAGE):
        return []  # an opcode that PyTorch does not know; the caller tells the first refusal


def _reason(error: BaseException) -> str:
    """The sentence of a PyTorch error that is about this file."""
    paragraphs = [part for part in str(error).split("\n\n") if "documentation of torch.load" not in part]
    lines = paragraphs[-1].strip().splitlines() if paragraphs else []
    return lines[0].split(". This is an internal")[0] if lines else type(error).__name__


def _size(path: Path) -> str:
    return f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
