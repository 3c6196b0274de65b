"""The zip archive that `torch.save` writes: its records, each checked by the CRC-32 that the archive states.

PyTorch's own reader leaves the sums unchecked. Here every record is checked: those that hold no tensor when
the archive is opened, whether anything is made of them or not, tensors when they are filled. An archive in
which no record has a sum was written under `torch.serialization.set_crc32_options(False)`; it is read
without a check, since it has none.
"""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.pickle_opcodes import check_pickle
from spectra_cli.extract.checkpoints.files.stored_file import Pages, Range, StoredFile

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_MOST_RECORD_BYTES = 1 << 28
_MOST_DIRECTORY_BYTES = 1 << 25
_LONGEST_END = (
    1 << 16
) + 128  # the last record of a zip archive with its comment, and the wide ones before it
_PIECE = 1 << 20
_BYTE_ORDER, _TENSORS = "byteorder", "data"


class TorchArchive:
    """An archive of `torch.save` in an open file: what PyTorch's unpickler reads from, and `fill`."""

    def __init__(self, file: StoredFile, begin: int, length: int, where: str) -> None:
        """Read the directory of `length` bytes from `begin` on; `where` is their name in messages.

        Raises:
            CheckpointError: a TorchScript program, or rewritten by another tool.
            zipfile.BadZipFile, ValueError: damaged.
            pickle.UnpicklingError: its pickle would take memory or time out of all proportion.
        """
        self._file, self._begin, self._length, self._where = file, begin, length, where
        self._records = {record.filename: record for record in self._directory()}
        self._prefix = next(iter(self._records), "").partition("/")[0]
        self._has_sums = any(record.CRC for record in self._records.values())
        for name, record in self._records.items():
            if not name.startswith(f"{self._prefix}/{_TENSORS}/"):
                self._check(record)
            # in whatever case PyTorch's own reader would take it
            if name.lower().endswith("/data.pkl"):
                check_pickle(self._checked(record))
        order = self._records.get(f"{self._prefix}/{_BYTE_ORDER}")
        stored = self._checked(order).decode("ascii", "replace") if order else "little"
        if stored not in ("little", "big"):
            raise ValueError(f"its byte order is {stored!r:.40}")
        self._is_swapped = stored != sys.byteorder
        self._pages = Pages(file, begin, length)
        self._places: dict[int, zipfile.ZipInfo] = {}

    def _directory(self) -> list[zipfile.ZipInfo]:
        with self._file.as_stream(self._begin, self._length) as stream:
            _check_size_of_directory(stream, self._length)
            with zipfile.ZipFile(stream) as archive:
                records = archive.infolist()
        names = [record.filename.lower() for record in records]
        if any(name.endswith("/constants.pkl") for name in names):
            raise CheckpointError(
                f"{self._where}: a TorchScript program, not a state dict; expected a file of torch.save"
            )
        for record in records:
            if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
                raise CheckpointError(
                    f"{self._where}: {record.filename} is compressed; torch.save stores its records plainly, "
                    "so another tool rewrote this file: save it again with torch.save"
                )
        if len(set(names)) < len(names):
            raise ValueError("two of its records have the same name")
        return records

    # ------------------------------------------------------------- what PyTorch's unpickler asks for

    def has_record(self, name: str) -> bool:
        """Whether the archive holds it."""
        return f"{self._prefix}/{name}" in self._records

    def get_record(self, name: str) -> bytes:
        """The bytes of a record, checked."""
        if name == _BYTE_ORDER:  # tensors are turned round when they are filled
            return sys.byteorder.encode()
        return self._checked(self._record(name))

    def get_record_offset(self, name: str) -> int:
        """Where the bytes of a storage begin."""
        record = self._record(name)
        begin = self._begin_of(record)
        self._places[begin] = record
        return begin

    def serialization_id(self) -> str:
        """Nothing: PyTorch logs it."""
        return ""

    # ------------------------------------------------------------- values

    def fill(self, tensors: Iterable[Tensor]) -> None:
        """Read the values of tensors that were unpickled from this archive, each storage whole.

        Raises:
            CheckpointError: damaged, or the pickle claims another size of it than the archive.
        """
        dtypes: dict[int, torch.dtype] = {}
        ranges: dict[int, Range] = {}
        base = self._pages.content.data_ptr()
        for tensor in tensors:
            if tensor.layout is not torch.strided:
                continue  # refused by whoever wants it
            storage = tensor.untyped_storage()
            begin = storage.data_ptr() - base
            if storage.nbytes() and begin not in ranges:
                ranges[begin] = self._range_of(begin, storage.nbytes())
                dtypes[begin] = tensor.dtype
        self._pages.fill(ranges.values())
        if self._is_swapped:
            whole = self._pages.content.untyped_storage()
            for begin, wanted in ranges.items():
                whole[begin : wanted.end].byteswap(dtypes[begin])

    @property
    def room(self) -> torch.UntypedStorage:
        """Room for every byte of the archive, those of tensors zeros until they are filled."""
        return self._pages.content.untyped_storage()

    def _range_of(self, begin: int, num_bytes: int) -> Range:
        record = self._places[begin]
        if num_bytes != record.file_size:
            raise CheckpointError(
                f"{self._where}: {record.filename} has {record.file_size} bytes, and the pickle claims "
                f"{num_bytes} of them; copy or save it again"
            )
        end, crc32 = begin + num_bytes, record.CRC if self._has_sums else None
        return Range(begin=begin, end=end, name=record.filename, crc32=crc32)

    def _record(self, name: str) -> zipfile.ZipInfo:
        record = self._records.get(f"{self._prefix}/{name}")
        if record is None:
            raise ValueError(f"it has no record {name}")
        return record

    def _begin_of(self, record: zipfile.ZipInfo) -> int:
        at = record.header_offset
        header = self._file.read(self._begin + at, _LOCAL_HEADER.size)
        magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        begin = int(at + _LOCAL_HEADER.size + name_bytes + extra_bytes)
        if magic != b"PK\x03\x04" or begin + record.file_size > self._length:
            raise ValueError(f"its record {record.filename} is not where its directory says")
        return begin

    def _checked(self, record: zipfile.ZipInfo) -> bytes:
        """The bytes of a small record: pickles and marks."""
        if record.file_size > _MOST_RECORD_BYTES:
            raise CheckpointError(
                f"{self._where}: {record.filename} has {record.file_size} bytes; expected at most "
                f"{_MOST_RECORD_BYTES} beside the tensors: save the state dict alone"
            )
        content = self._file.read(self._begin + self._begin_of(record), record.file_size)
        self._compare(record, zlib.crc32(content))
        return content

    def _check(self, record: zipfile.ZipInfo) -> None:
        """Read a record of any size for its sum alone."""
        if not self._has_sums:
            return
        begin, found = self._begin + self._begin_of(record), 0
        for at in range(0, record.file_size, _PIECE):
            found = zlib.crc32(self._file.read(begin + at, min(_PIECE, record.file_size - at)), found)
        self._compare(record, found)

    def _compare(self, record: zipfile.ZipInfo, found: int) -> None:
        if self._has_sums and found != record.CRC:
            raise CheckpointError(
                f"{self._where}: {record.filename} is damaged: the file states the checksum {record.CRC:08x} "
                f"for it, and its bytes give {found:08x}; copy or save it again"
            )


def _check_size_of_directory(stream: IO[bytes], length: int) -> None:
    """Look at the end of an archive for how long its directory is, before it is read."""
    begin = stream.seek(max(0, length - _LONGEST_END))
    tail = stream.read(length - begin)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 16:
        return  # no archive, as zipfile will say
    (num_bytes,) = struct.unpack_from("<I", tail, end + 12)
    wide = tail.rfind(b"PK\x06\x06", 0, end)
    if num_bytes == 2**32 - 1 and 0 <= wide <= end - 48:
        (num_bytes,) = struct.unpack_from("<Q", tail, wide + 40)
    if num_bytes > _MOST_DIRECTORY_BYTES:
        raise ValueError(f"its directory has {num_bytes} bytes, expected at most {_MOST_DIRECTORY_BYTES}")
