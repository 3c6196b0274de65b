"""What each format of export holds, read back by the program that it is for, as rows of Python values."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spectra_cli.render.tidy import TidyColumn

Rows = list[dict[str, Any]]


def _from_csv(path: Path, columns: Sequence[TidyColumn]) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{c.name: _cell(row.pop(c.name), c.kind) for c in columns} | row for row in rows]


def _cell(text: str, kind: type) -> Any:
    return text if kind is str else kind(text) if text else None


def _from_jsonl(path: Path, _: Sequence[TidyColumn]) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


READERS: Mapping[str, Callable[[Path, Sequence[TidyColumn]], Rows]] = {
    "csv": _from_csv,
    "jsonl": _from_jsonl,
}
