"""The head of a GGUF file, walked before the gguf package sees it: lengths that the file does not have.

Values of its metadata are read here too, without its tensors and without the package.

The package takes every count at its word, and would go on for ever on an array of 2^60 numbers.

Source: the GGUF specification of ggml (magic, version, counts, metadata, tensor infos).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectra_cli.core.bounded_text import too_large
from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile, is_possible

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
TOKENS = "tokenizer.ggml.tokens"
# value type -> bytes, of those with a fixed size
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_COUNTED, _MOST_OBJECTS = ("metadata entries", "tensors", "strings", "numbers"), 1 << 22
_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
_MOST_NAME_BYTES = 1 << 16
_WINDOW = 1 << 18
MOST_BYTES = 1 << 27  # four times the largest vocabulary that is published
_TOKENIZER = "tokenizer.ggml."
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataEntry:
    """Where one entry of the metadata lies: its name at byte `begin`, its value of type `kind` (the items'
    where it is an array of `length` of them) at byte `value`, up to byte `end`.
    """

    name: str
    kind: int
    length: int | None
    begin: int
    value: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHead:
    """What stands before the tensors.

    Attributes:
        num_tensors: how many there are.
        num_bytes: at which the list of them ends; tensors_begin: at which it begins.
        entries: the metadata, in order.
        byte_order: of all numbers, as `struct` writes it.
    """

    num_tensors: int
    num_bytes: int
    tensors_begin: int
    entries: tuple[MetadataEntry, ...]
    byte_order: str


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
        raise CheckpointError(
            f"{path}: {file.size} bytes: no GGUF file, or half-written; copy or convert it again"
        )
    if file.read(0, 4) != MAGIC:
        raise CheckpointError(
            f"{path}: does not begin with {MAGIC.decode()}: no GGUF file, or damaged; "
            "copy or convert it again"
        )
    try:
        return _Walk(file).to_the_end()
    except (struct.error, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as GGUF: {error}; it is damaged or half-written: copy or "
            "convert it again"
        ) from error


class _Walk:
    """A position in the head that moves on, and never beyond the end of the file."""

    def __init__(self, file: StoredFile) -> None:
        self._file, self._at, self._objects = file, 4, 0
        self._window, self._begin = b"", 0
        # a version of 0 in its lower half is that of the other byte order
        self._order = ">" if file.read(4, 2) == b"\0\0" else "<"
        self._formats = {size: struct.Struct(self._order + name) for size, name in ((4, "I"), (8, "Q"))}
        self._number(4)

    def to_the_end(self) -> GgufHead:
        """The whole head; raises ValueError for what is not there."""
        num_tensors, num_values = self._number(8), self._number(8)
        entries = [self._entry() for _ in range(self._that_fit(num_values, 12, "metadata entries"))]
        begin = self._at
        for _ in range(self._that_fit(num_tensors, 24, "tensors")):
            self._tensor()
        return GgufHead(
            num_tensors=num_tensors,
            num_bytes=self._at,
            tensors_begin=begin,
            entries=tuple(entries),
            byte_order=self._order,
        )

    def _number(self, size: int) -> int:
        at = self._at - self._begin
        if not 0 <= at <= len(self._window) - size:
            self._begin, at = self._at, 0
            self._window = self._file.read(self._at, max(0, min(_WINDOW, self._file.size - self._at)))
        self._at += size
        number: int = self._formats[size].unpack_from(self._window, at)[0]
        return number

    def _that_fit(self, count: int, size: int, what: str) -> int:
        """`count`, if so many of at least `size` bytes each are left."""
        left = self._file.size - self._at
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

    def _entry(self) -> MetadataEntry:
        begin = self._at
        self._string()
        name = self._file.read(begin + 8, min(self._at - begin - 8, _MOST_NAME_BYTES))
        kind, length = self._number(4), None
        if kind == ARRAY:
            kind, length = self._number(4), self._number(8)
        value = self._at
        if kind == STRING:
            for _ in range(1 if length is None else self._that_fit(length, 8, "strings")):
                self._string()
        elif kind in SIZES:
            self._skip(1 if length is None else length, SIZES[kind], "numbers")
        else:
            raise ValueError(f"a value of type {kind} has no fixed size")
        return MetadataEntry(
            name=name.decode("utf-8", "replace"),
            kind=kind,
            length=length,
            begin=begin,
            value=value,
            end=self._at,
        )

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


def brings_tokenizer(path: Path) -> bool:
    """Whether a path is a GGUF file with a vocabulary.

    Raises:
        CheckpointError: a `.gguf` file that cannot be read.
    """
    if path.suffix != ".gguf" or not path.is_file():
        return False
    with StoredFile(path) as file:
        return any(entry.name == TOKENS for entry in read_gguf_head(file).entries)


def read_tokenizer_metadata(path: Path) -> dict[str, Any]:
    """What stands under `tokenizer.ggml.`, by the rest of its name, and `general.architecture`.

    Raises:
        CheckpointError: no GGUF file, damaged, or with more of it than any tokenizer has.
    """
    with StoredFile(path) as file:
        head = read_gguf_head(file)
        own = [entry for entry in head.entries if entry.name == "general.architecture"]
        found = [*own, *_of_tokenizer(head, path)]
        try:
            return {entry.name.removeprefix(_TOKENIZER): _value(file, head, entry) for entry in found}
        except (struct.error, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{path}: its tokenizer cannot be read: {error}; it is damaged: copy or convert it again"
            ) from error


def tokenizer_digest(path: Path) -> str:
    """sha256 of what the file says about its tokenizer; empty where it brings none.

    Raises:
        CheckpointError: as `read_tokenizer_metadata`.
    """
    with StoredFile(path) as file:
        found = _of_tokenizer(read_gguf_head(file), path)
        digest = hashlib.sha256()
        for entry in sorted(found, key=lambda e: e.name):
            digest.update(file.read(entry.begin, entry.end - entry.begin))
    return digest.hexdigest() if found else ""


def _of_tokenizer(head: GgufHead, path: Path) -> list[MetadataEntry]:
    found = [entry for entry in head.entries if entry.name.startswith(_TOKENIZER)]
    if (size := sum(entry.end - entry.begin for entry in found)) > MOST_BYTES:
        raise CheckpointError(too_large(f"{path}: its tokenizer", size, MOST_BYTES, "convert the file again"))
    return found


def _value(file: StoredFile, head: GgufHead, entry: MetadataEntry) -> Any:
    content, length = file.read(entry.value, entry.end - entry.value), entry.length
    if entry.kind == STRING:
        strings = list(_strings(content, head.byte_order))
        return strings[0] if length is None else strings
    numbers = struct.unpack(f"{head.byte_order}{length or 1}{_FORMATS[entry.kind]}", content)
    return numbers[0] if length is None else list(numbers)


def _strings(content: bytes, byte_order: str) -> Iterator[str]:
    number, at = struct.Struct(byte_order + "Q"), 0
    while at < len(content):
        begin, (length,) = at + number.size, number.unpack_from(content, at)
        at = begin + length
        yield content[begin:at].decode()
