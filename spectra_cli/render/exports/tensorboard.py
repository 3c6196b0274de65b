"""TensorBoard: an event file a run, with a scalar a tag and step, and a text that says what is withheld.

Scalars are in single precision: what TensorBoard reads files with by default shows no others. A withheld
value is NaN, which it marks. Wall time is 0: an archive knows when a checkpoint was measured, not when it
was trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from spectra_cli.render.exports.logged import LoggedStep, Tracker
from spectra_cli.render.exports.target import encodable
from spectra_cli.render.text.neutral import for_markdown

_FILE = "events.out.tfevents.0.spectra"
WITHHELD = "withheld"


def write(steps: Iterable[LoggedStep], stream: BinaryIO) -> None:
    """Write an event a checkpoint, behind the one that says the version of the format."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.summary.writer.record_writer import RecordWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    records = RecordWriter(stream)
    records.write(Event(file_version="brain.Event:2").SerializeToString())
    for one in steps:
        found = [
            Summary.Value(tag=encodable(tag), simple_value=math.nan if value is None else value)
            for tag, value in one.values.items()
        ]
        if one.withheld:
            metadata = create_summary_metadata(display_name="", description="Values that are NaN, and why")
            text = make_tensor_proto(_table(one.withheld).encode())
            found.append(Summary.Value(tag=WITHHELD, tensor=text, metadata=metadata))
        records.write(Event(step=one.step, summary=Summary(value=found)).SerializeToString())


def place(folder: Path, run: str) -> Path:
    """The event file of a run: TensorBoard calls a run by its folder.

    >>> place(Path("tb"), "exp1/out").as_posix(), place(Path("tb"), "../b").as_posix()
    ('tb/exp1/out/events.out.tfevents.0.spectra', 'tb/b/events.out.tfevents.0.spectra')
    """
    inside = [part for part in run.split("/") if part not in ("", ".", "..")]
    return folder.joinpath(*inside, _FILE)


def _table(withheld: dict[str, str]) -> str:
    """The reasons as Markdown, in which no name acts."""
    rows = [f"| {for_markdown(tag)} | {for_markdown(why)} |" for tag, why in withheld.items()]
    return "\n".join(["| tag | reason |", "| --- | --- |", *rows])


TRACKER = Tracker(
    title="TensorBoard",
    write=write,
    place=place,
    needs=("tensorboard.summary.writer.record_writer", "tensorboard"),
)
