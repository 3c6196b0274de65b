"""What an offline run of Weights & Biases holds: its log, which has the format of LevelDB's."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEAD, _OF_FILE = 32768, 7, 7
_WHOLE, _LAST = 1, 4


def history_of(path: Path) -> tuple[str, dict[int, dict[str, Any]]]:
    """The name of a run, and step -> tag -> value."""
    from wandb.proto import wandb_internal_pb2

    name, steps = "", {}
    for content in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.HasField("run"):
            name = record.run.display_name
        if record.HasField("history"):
            items = {one.key or "/".join(one.nested_key): one.value_json for one in record.history.item}
            steps[record.history.step.num] = {tag: json.loads(value) for tag, value in items.items()}
    return name, steps


def _records(data: bytes) -> Iterator[bytes]:
    at, content = _OF_FILE, b""
    while at + _HEAD <= len(data):
        room = _BLOCK - at % _BLOCK
        if room < _HEAD:
            at += room
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + _HEAD])
        content += data[at + _HEAD : at + _HEAD + size]
        at += _HEAD + size
        if kind in (_WHOLE, _LAST):
            yield content
            content = b""
