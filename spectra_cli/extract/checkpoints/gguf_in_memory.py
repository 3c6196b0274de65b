"""The gguf package over memory: it maps its files, which must not be truncated while it looks at them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from spectra_cli.extract.checkpoints.pages import Pages, Range
from spectra_cli.extract.checkpoints.stored_file import StoredFile

_one_at_a_time = threading.RLock()


@contextmanager
def gguf_in_memory(file: StoredFile, num_bytes: int) -> Iterator[Pages]:
    """Inside, the package finds the first `num_bytes` of the open file wherever it would map one, and then
    zeros, until more is filled.

    Raises:
        CheckpointError: the file was truncated meanwhile.
    """
    from gguf import gguf_reader

    pages = Pages(file, 0, file.size)
    pages.fill([Range(begin=0, end=num_bytes)])
    with _one_at_a_time:
        numpy, gguf_reader.np = gguf_reader.np, _Unmapped(pages.content.numpy())  # type: ignore
        try:
            yield pages
        finally:
            gguf_reader.np = numpy  # type: ignore[attr-defined]


class _Unmapped:
    """NumPy, but for one function."""

    def __init__(self, content: np.ndarray[Any, Any]) -> None:
        self._content = content

    def memmap(self, *_arguments: Any, **_settings: Any) -> np.ndarray[Any, Any]:
        """The bytes in place of a mapping."""
        return self._content

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
