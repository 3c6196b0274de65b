"""The head of a GGUF file, walked before the gguf package sees it: lengths that the file does not have.

The package takes every count at its word, and would go on for ever on an array of 2^60 numbers.

Source: the GGUF specification of ggml (magic, version, counts, metadata, tensor infos).
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.stated_shape import is_possible
from spectra_cli.extract.checkpoints.stored_file import StoredFile

MAGIC = b"GGUF"
# value type -> bytes, of those with a fixed size
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_COUNTED, _MOST_OBJECTS = ("metadata entries", "tensors", "strings", "numbers"), 1 << 22
_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHead:
    """How many tensors a file has, and the byte at which the list of them ends."""

    num_tensors: int
    num_bytes: int


def check_gguf_header(path: Path) -> int:
    """The number of tensors, where all that the head claims fits into the file.

    Raises:
        CheckpointError: it does not, or is no GGUF file.
    """
    with StoredFile(path) as file:
        return read_gguf_head(file).num_tensors


def read_gguf_head(file: StoredFile) -> GgufHead:
    """The head of an open file, where all that it claims fits into the file.

    Raises:
        CheckpointError: as `check_gguf_header`.
    """
    path = file.path
    if file.size < 24:
        raise CheckpointError(f"{path}: {file.size} bytes: no GGUF file, or half-written")
    with file.as_stream() as content:
        if content.peek(6)[:4] != MAGIC:
            raise CheckpointError(f"{path}: does not begin with {MAGIC.decode()}: no GGUF file, or damaged")
        try:
            return _Walk(content, file.size).to_the_end()
        except (struct.error, ValueError) as error:
            raise CheckpointError(
                f"{path}: cannot be read as GGUF: {error}; it is damaged or half-written"
            ) from error


class _Walk:
    """A position in the head that moves on, and never beyond the end of the file."""

    def __init__(self, content: io.BufferedReader, size: int) -> None:
        self._content, self._size, self._at, self._objects = content, size, 4, 0
        # a version of 0 in its lower half is that of the other byte order
        self._order = ">" if content.peek(6)[4:6] == b"\0\0" else "<"
        self._number(4)

    def to_the_end(self) -> GgufHead:
        """The whole head; raises ValueError for what is not there."""
        num_tensors, num_values = self._number(8), self._number(8)
        for _ in range(self._that_fit(num_values, 12, "metadata entries")):
            self._string()
            self._value(self._number(4))
        for _ in range(self._that_fit(num_tensors, 24, "tensors")):
            self._tensor()
        return GgufHead(num_tensors=num_tensors, num_bytes=self._at)

    def _number(self, size: int) -> int:
        self._content.seek(self._at)
        taken = self._content.read(size)
        self._at += size
        number: int = struct.unpack(self._order + {4: "I", 8: "Q"}[size], taken)[0]
        return number

    def _that_fit(self, count: int, size: int, what: str) -> int:
        """`count`, if so many of at least `size` bytes each are left."""
        left = self._size - self._at
        # the package makes objects of every entry and of every value of an array
        self._objects += count if what in _COUNTED else 0
        if self._objects > _MOST_OBJECTS:
            raise ValueError(f"{count} {what} are claimed where at most {_MOST_OBJECTS} values are read")
        if count * size > left:
            raise ValueError(f"{count} {what} are claimed where {left} bytes are left")
        return count

    def _skip(self, count: int, size: int, what: str) -> None:
        self._at += self._that_fit(count, size, what) * size

    def _string(self) -> None:
        self._skip(self._number(8), 1, "characters")

    def _value(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            inner, count = self._number(4), self._number(8)
            if inner == _STRING:
                for _ in range(self._that_fit(count, 8, "strings")):
                    self._string()
            else:
                self._skip(count, self._size_of(inner), "numbers")
        else:
            self._skip(1, self._size_of(kind), "numbers")

    def _size_of(self, kind: int) -> int:
        if kind not in _SIZES:
            raise ValueError(f"a value of type {kind} has no fixed size")
        return _SIZES[kind]

    def _tensor(self) -> None:
        self._string()
        num_dimensions = self._number(4)
        if num_dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"a tensor of {num_dimensions} dimensions; llama.cpp has {_MAX_DIMENSIONS}")
        shape = [self._number(8) for _ in range(num_dimensions)]
        if not is_possible(shape):
            raise ValueError(f"no tensor has the shape {shape}")
        # the densest of llama.cpp's types has little more than one bit a number
        self._that_fit(math.prod(shape) // 16, 1, f"bytes at least, of a tensor of shape {shape},")
        self._number(4)
        self._number(8)
