"""The arguments a nanoGPT-style run was trained with, and the tokens of one of its steps."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from spectra_cli.extract.checkpoints.files.json_object import read_json_object

ARGS = "args.json"
# what runs write beside their checkpoints; the toy runner writes run_config.json
RUN_FILES = (ARGS, "run_config.json", "hparams.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingArguments:
    """Arguments by name, and where they were read from.

    Attributes:
        values: by name.
        file: the first file that states any; None where there are none.
        origins: name -> its file, for those of a second or third file.
        notices: two files that state different values.
    """

    values: Mapping[str, Any]
    file: Path | None
    origins: Mapping[str, Path] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that were read, the first one first."""
        return () if self.file is None else tuple(dict.fromkeys((self.file, *self.origins.values())))


def find_arguments(checkpoint: Path, stored: object) -> TrainingArguments:
    """The arguments stored inside a checkpoint, else those of the nearest of each of `RUN_FILES`.

    Looked for beside the checkpoint, in the folder above, and in `logs/` there. Of two files that state the
    same name the former in that list counts.

    Args:
        checkpoint: the `.pt` file.
        stored: its `args` entry: a mapping, a Namespace, or anything else for none.

    Raises:
        CheckpointError: one of these files is not a JSON object.
    """
    if isinstance(stored, argparse.Namespace):
        stored = vars(stored)
    if isinstance(stored, Mapping) and stored:
        return TrainingArguments(values=_plain(stored), file=checkpoint)
    folder = checkpoint.parent
    places = (folder, folder.parent, folder.parent / "logs")
    nearest = (next((p / name for p in places if (p / name).is_file()), None) for name in RUN_FILES)
    values: dict[str, Any] = {}
    origins: dict[str, Path] = {}
    notices: list[str] = []
    first: Path | None = None
    for file in nearest:
        if file is None:
            continue
        first = first or file
        for name, value in read_json_object(file).items():
            if name not in values:
                values[name] = value
                origins[name] = file
            elif values[name] != value:
                notices.append(
                    f"{name} is {values[name]!r} by {origins[name].name}, and {value!r} by {file.name}: the "
                    "former is taken"
                )
    return TrainingArguments(
        values=values,
        file=first,
        origins={name: file for name, file in origins.items() if file != first},
        notices=tuple(notices),
    )


def _plain(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): str(v) if isinstance(v, PurePath) else v for name, v in values.items()}


def tokens_per_step(*, arguments: Mapping[str, Any], derived: Mapping[str, Any]) -> tuple[int, str] | None:
    """Tokens of one optimiser step and the rule that gave them, None where no rule settles it.

    The run's own account comes first (`derived.tokens_per_step`); then `total_batch_size`, which
    counts tokens and leaves `batch_size` the share of one device; then `batch_size` in sequences of
    the whole step times `sequence_length`.

    >>> tokens_per_step(arguments={"batch_size": 8, "sequence_length": 1024}, derived={})
    (8192, 'batch_size x sequence_length')
    >>> tokens_per_step(arguments={"batch_size": 8, "total_batch_size": 65536}, derived={})
    (65536, 'total_batch_size')
    """
    for values, names in (
        (derived, ("tokens_per_step",)),
        (arguments, ("total_batch_size",)),
        (arguments, ("batch_size", "sequence_length")),
    ):
        if tokens := _product(values, names):
            return tokens, " x ".join(names)
    return None


def nanogpt_tokens_per_step(training: Mapping[str, Any]) -> tuple[int, str] | None:
    """Tokens of one step of nanoGPT's `train.py`, whose saved accumulation counts all processes.

    >>> nanogpt_tokens_per_step({"gradient_accumulation_steps": 40, "batch_size": 12, "block_size": 1024})
    (491520, 'gradient_accumulation_steps x batch_size x block_size')
    """
    names = ("gradient_accumulation_steps", "batch_size", "block_size")
    tokens = _product(training, names)
    return (tokens, " x ".join(names)) if tokens else None


def _product(values: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The product of positive integers, 0 if any is missing or of another kind."""
    product = 1
    for name in names:
        value = values.get(name)
        if type(value) is not int or value <= 0:
            return 0
        product *= value
    return product
