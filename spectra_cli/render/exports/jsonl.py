"""JSON Lines: an object a row, texts exact, null for a missing number."""

from __future__ import annotations

import json
from typing import BinaryIO

from spectra_cli.render.exports.target import FileTarget, FlatTable


def write(table: FlatTable, stream: BinaryIO) -> None:
    """Write a line a row."""
    stream.writelines(f"{json.dumps(row, allow_nan=False)}\n".encode("ascii") for row in table.rows())


TARGET = FileTarget(write=write, is_text=True)
