"""`.bin` token shards, as llm.c and modded-nanogpt write them, and headerless ones when asked for.

A shard is 256 little-endian int32, of which the first three are magic, version and token count,
then the tokens. Files are memory-mapped: only the chosen sequences are ever read.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.source import ProbeSource, TokenArray, each_file

GPT2_MAGIC, LLAMA3_MAGIC = 20240520, 20240801
HEADER_BYTES = 256 * 4
# magic -> (the one known version, the element types it may have)
_LAYOUTS = {GPT2_MAGIC: (1, ("<u2", "<u4")), LLAMA3_MAGIC: (7, ("<u4",))}
_HEADERLESS_HINT = (
    "if it holds bare token ids, as train.bin and val.bin of nanoGPT do, say --probe-format bin-uint16 or "
    "bin-uint32"
)


def _read_header(path: Path) -> tuple[int, int, int]:
    """Magic, version and token count; zeros in a file that is too short to have a header."""
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if len(start) < HEADER_BYTES:
        return 0, 0, 0
    magic, version, num_tokens = np.frombuffer(start, "<i4", count=3).tolist()
    return magic, version, num_tokens


def read_shard(path: Path) -> TokenArray:
    """The ids (length,) of a shard with a header, memory-mapped.

    Raises:
        ProbeError: an unknown magic or version, or a payload that is not what the header declares.
    """
    num_bytes = path.stat().st_size
    if num_bytes < HEADER_BYTES:
        raise ProbeError(
            f"{path} has {num_bytes} bytes, a shard's header alone has {HEADER_BYTES}; {_HEADERLESS_HINT}"
        )
    magic, version, num_tokens = _read_header(path)
    if magic not in _LAYOUTS:
        known = " or ".join(str(known_magic) for known_magic in _LAYOUTS)
        raise ProbeError(f"{path} starts with {magic}, a shard with {known}; {_HEADERLESS_HINT}")
    known_version, element_types = _LAYOUTS[magic]
    if version != known_version:
        raise ProbeError(f"{path} is a shard of version {version}; only version {known_version} is known")
    payload = num_bytes - HEADER_BYTES
    for element_type in element_types:
        if num_tokens > 0 and payload == num_tokens * np.dtype(element_type).itemsize:
            return np.memmap(path, dtype=element_type, mode="r", offset=HEADER_BYTES)
    sizes = " or ".join(str(np.dtype(t).itemsize) for t in element_types)
    raise ProbeError(
        f"{path} declares {num_tokens} tokens of {sizes} bytes and holds {payload} bytes of them; "
        "it is empty, truncated or damaged: fetch it again"
    )


def read_headerless(path: Path, element_type: str) -> TokenArray:
    """The ids (length,) of a file that is nothing but ids, memory-mapped.

    Raises:
        ProbeError: a file of another size than whole ids, or one that has a header after all.
    """
    num_bytes, itemsize = path.stat().st_size, np.dtype(element_type).itemsize
    if num_bytes == 0 or num_bytes % itemsize:
        raise ProbeError(f"{path} has {num_bytes} bytes, expected one or more ids of {itemsize} bytes each")
    if _read_header(path)[0] in _LAYOUTS:
        raise ProbeError(
            f"{path} has a shard's header, which would be read as tokens; say --probe-format bin"
        )
    return np.memmap(path, dtype=element_type, mode="r")


SHARDS = ProbeSource(
    summary=".bin shards with the header of llm.c and modded-nanogpt, uint16 or uint32",
    suffixes=(".bin",),
    read=each_file(read_shard),
)
HEADERLESS_UINT16 = ProbeSource(
    summary="files of little-endian uint16 ids and nothing else",
    suffixes=(),
    read=each_file(partial(read_headerless, element_type="<u2")),
)
HEADERLESS_UINT32 = ProbeSource(
    summary="files of little-endian uint32 ids and nothing else",
    suffixes=(),
    read=each_file(partial(read_headerless, element_type="<u4")),
)
