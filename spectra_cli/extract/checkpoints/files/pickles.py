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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, _weights_only_unpickler

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.files.pickle_opcodes import HostilePickle, check_pickle
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile
from spectra_cli.extract.checkpoints.files.torch_archive import TorchArchive


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPickle:
    """What `torch.save` wrote, its tensors without values until they are read.

    Attributes:
        content: the object; tensors have shape and dtype, and zeros for values.
    """

    content: Any
    _archive: TorchArchive | None

    def read(self, tensors: Iterable[Tensor]) -> None:
        """Put the values into these tensors, and into whatever shares their memory.

        Raises:
            CheckpointError: damaged, or truncated meanwhile.
        """
        if self._archive is not None:
            self._archive.fill(tensors)

    def read_all(self) -> Any:
        """The object with all values of all tensors.

        Raises:
            CheckpointError: as `read`.
        """
        self.read(_tensors_in(self.content))
        return self.content


def _tensors_in(content: Any) -> Iterator[Tensor]:
    """Every tensor of nested plain containers, each container once."""
    waiting, seen = [content], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, argparse.Namespace):
            waiting.append(vars(value))
        elif isinstance(value, (Mapping, list, tuple, set, frozenset)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value)
            waiting.extend(value.values() if isinstance(value, Mapping) else ())


def load_pickle(path: Path) -> Any:
    """What `torch.save` wrote to `path`, on the CPU, with all its values.

    Raises:
        UnsafePickleError: it needs types outside the allow-list; they are named, nothing was run.
        CheckpointError: not a PyTorch file, or a damaged one.
    """
    with open_pickle(path) as stored:
        return stored.read_all()


@contextmanager
def open_pickle(path: Path) -> Iterator[StoredPickle]:
    """What `torch.save` wrote to `path`, on the CPU; inside, values are read as they are asked for.

    Asking for shapes costs milliseconds. Only files of the format before PyTorch 1.6 are read at once; they
    have no checksums.

    Raises:
        UnsafePickleError: it needs types outside the allow-list; they are named, nothing was run.
        CheckpointError: not a PyTorch file, or a damaged one.
    """
    with _opened(path) as file:
        zipped = file.size >= len(_ZIP_MAGIC) and file.read(0, len(_ZIP_MAGIC)) == _ZIP_MAGIC
        try:
            stored = _unpickled(file, 0, file.size, str(path)) if zipped else _legacy(file)
        except pickle.UnpicklingError as error:
            raise _refusal(file, error, zipped=zipped) from error
        except _DAMAGE as error:
            raise CheckpointError(
                f"{path}: cannot be read as a PyTorch file ({file.size} bytes): {_reason(error)}. "
                "It is damaged, half-written or of another kind: copy or save it again"
            ) from error
        yield stored


def _opened(path: Path) -> StoredFile:
    try:
        return StoredFile(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read as a PyTorch file: {error.strerror}; copy or save it again"
        ) from error


def _unpickled(file: StoredFile, begin: int, length: int, where: str) -> StoredPickle:
    archive = TorchArchive(file, begin, length, where)
    with warnings.catch_warnings(), _harmless_types_only():
        # Said in the error where it matters: another pickle protocol fails on its first new opcode.
        warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
        # What `torch.load` does with its own reader in place of ours, which checks sums and maps nothing.
        content = torch.serialization._load(
            archive, "cpu", _weights_only_unpickler, overall_storage=archive.room, encoding="utf-8"
        )
    return StoredPickle(content=content, _archive=archive)


def _legacy(file: StoredFile) -> StoredPickle:
    with file.as_stream() as stream:
        _check_legacy(stream)
        stream.seek(0)
        with warnings.catch_warnings(), _harmless_types_only():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return StoredPickle(
                content=torch.load(stream, map_location="cpu", weights_only=True), _archive=None
            )


def load_record(file: StoredFile, begin: int, length: int, where: str) -> Any:
    """What `torch.save` wrote to a part of a larger file, read into memory on the CPU.

    Args:
        file: the larger file; `begin`, `length`: that part alone, a zip archive.
        where: its name in messages.

    Raises:
        UnsafePickleError: it needs types outside the allow-list; nothing was run.
        CheckpointError: damaged.
    """
    try:
        return _unpickled(file, begin, length, where).read_all()
    except pickle.UnpicklingError as error:
        needed = ", ".join(_refused_types(error)) or f"what weights-only loading refuses ({_reason(error)})"
        raise UnsafePickleError(
            f"{where}: needs {needed}. Nothing of it was executed. Expected tensors, numbers and plain "
            "containers"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(f"{where}: cannot be read: {_reason(error)}; copy or save it again") from error


def _check_legacy(stream: IO[bytes]) -> None:
    """The pickles of the format before PyTorch 1.6: magic number, version, system, content, storage keys.

    Raises:
        pickle.UnpicklingError: hostile, or no such pickles.
    """
    for _ in range(_NUM_LEGACY_PICKLES):
        try:
            check_pickle(stream)
        except ValueError as error:
            raise pickle.UnpicklingError(str(error)) from error


def _refusal(file: StoredFile, error: pickle.UnpicklingError, *, zipped: bool) -> CheckpointError:
    path = file.path
    needed = _needed_types(file, zipped=zipped) or _refused_types(error)
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
        f"{path}: not a PyTorch file, or a damaged one ({file.size} bytes): {_reason(error)}. "
        "Copy or save it again"
    )


def _refused_types(error: pickle.UnpicklingError) -> list[str]:
    return re.findall(r"GLOBAL (\S+) (?:was not an allowed|whose module)", str(error))


def _needed_types(file: StoredFile, *, zipped: bool) -> list[str]:
    if not zipped:
        return []
    try:
        with _harmless_types_only(), file.as_stream() as stream:
            return torch.serialization.get_unsafe_globals_in_checkpoint(stream)
    except (pickle.UnpicklingError, *_DAMAGE):
        return []  # an opcode that PyTorch does not know; the caller tells the first refusal


def _reason(error: BaseException) -> str:
    """The sentence of a PyTorch error that is about this file."""
    paragraphs = [part for part in str(error).split("\n\n") if "documentation of torch.load" not in part]
    lines = paragraphs[-1].strip().splitlines() if paragraphs else []
    # the sentence is put into another, which has a stop of its own
    return lines[0].split(". This is an internal")[0].rstrip(". ") if lines else type(error).__name__
