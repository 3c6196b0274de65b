"""The gguf package over memory: it maps its files, which must not be truncated while it looks at them.

It parses each file anew wherever it is asked for one, an object a token of the vocabulary; here once, and
without the vocabulary, which no weight needs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from spectra_cli.extract.checkpoints.files.stored_file import Pages, Range, StoredFile
from spectra_cli.extract.checkpoints.gguf.header import GgufHead
from spectra_cli.extract.checkpoints.gguf.rope import is_rope_table

_one_at_a_time = threading.RLock()


@contextmanager
def gguf_in_memory(file: StoredFile, head: GgufHead, *, with_values: bool) -> Iterator[Any]:
    """The open file as `gguf.GGUFReader`, which inside is what every reader of a GGUF file gets.

    Its tensors are zeros unless `with_values`, but for the rotary frequencies, which are settings.

    Raises:
        CheckpointError: the file was truncated meanwhile.
    """
    import gguf

    pages = Pages(file, 0, file.size)
    pages.fill([Range(begin=0, end=file.size if with_values else head.num_bytes)])
    with _one_at_a_time:
        reader = _parsed(pages.content.numpy(), head)
        if not with_values:
            tables = [tensor for tensor in reader.tensors if is_rope_table(tensor.name)]
            pages.fill(Range(begin=int(t.data_offset), end=int(t.data_offset + t.n_bytes)) for t in tables)
        with _replaced(gguf, "GGUFReader", lambda _path: reader):
            yield reader


def _parsed(content: np.ndarray[Any, Any], head: GgufHead) -> Any:
    from gguf import GGUFReader, gguf_reader

    class Reader(GGUFReader):
        """The package's own, which passes over the vocabulary."""

        def _build_fields(self, offs: int, count: int) -> int:
            for entry in head.entries:
                if entry.length is None or not entry.name.startswith("tokenizer."):
                    super()._build_fields(entry.begin, 1)
            return head.tensors_begin

    with _replaced(gguf_reader, "np", _Unmapped(content)):
        return Reader("")


@contextmanager
def _replaced(module: Any, name: str, value: object) -> Iterator[None]:
    """Inside, the module has another value under `name`."""
    own = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, own)


class _Unmapped:
    """NumPy, but for one function."""

    def __init__(self, content: np.ndarray[Any, Any]) -> None:
        self._content = content

    def memmap(self, *_arguments: Any, **_settings: Any) -> np.ndarray[Any, Any]:
        """The bytes in place of a mapping."""
        return self._content

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
