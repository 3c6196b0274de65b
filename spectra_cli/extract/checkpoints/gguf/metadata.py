"""Values of a GGUF file's metadata, without its tensors and without the gguf package."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spectra_cli.core.bounded_text import too_large
from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile
from spectra_cli.extract.checkpoints.gguf.header import (
    STRING,
    TOKENS,
    GgufHead,
    MetadataEntry,
    read_gguf_head,
)

MOST_BYTES = 1 << 27  # four times the largest vocabulary that is published
_TOKENIZER = "tokenizer.ggml."
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


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
