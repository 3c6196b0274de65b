"""Weights & Biases: JSON Lines, one a checkpoint, that ten lines of Python log (docs/how-to/export.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import BinaryIO

from spectra_cli.render.exports.logged import LoggedStep, Tracker


def write(steps: Iterable[LoggedStep], stream: BinaryIO) -> None:
    """Write a line a checkpoint: run, checkpoint, step, values, and why some are null."""
    for one in steps:
        line = {
            "run": one.archive,
            "checkpoint": one.checkpoint,
            "step": one.step,
            "values": one.values,
            "withheld": one.withheld,
        }
        stream.write(f"{json.dumps(line, allow_nan=False)}\n".encode("ascii"))


TRACKER = Tracker(title="Weights & Biases", write=write)
