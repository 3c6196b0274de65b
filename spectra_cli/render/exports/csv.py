"""Comma-separated values: the rows and the cells of `show --format csv`."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from spectra_cli.render.exports.target import FileTarget, FlatTable
from spectra_cli.render.forms.csv import write_csv


def write(table: FlatTable, stream: BinaryIO) -> None:
    """Write a header and the rows; no text acts on a terminal or starts a formula."""
    write_csv(table.rows(), table.names, codecs.getwriter("utf-8")(stream))


TARGET = FileTarget(write=write, is_text=True)
