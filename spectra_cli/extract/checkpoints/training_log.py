"""A training log beside the checkpoints, CSV or JSONL: what was logged at a step, by column name."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spectra_cli.core.bounded_text import parse_json, read_bounded
from spectra_cli.core.errors import UsageError

# value -> column names that mean it, the surest first. `train_loss` comes after `loss`: transformers'
# own log has both, and its `train_loss` is the mean over the whole run.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "step": ("step", "global_step", "iter", "iteration", "iter_num", "trainer/global_step", "_step"),
    "train_loss": ("loss", "train_loss", "training_loss"),
    "eval_loss": ("val_loss", "eval_loss", "valid_loss", "validation_loss"),
    "learning_rate": ("learning_rate", "lr"),
    "tokens_seen": ("tokens_seen", "tokens", "num_input_tokens_seen", "num_tokens", "total_tokens"),
    "batch_size_tokens": ("batch_size_tokens", "tokens_per_step", "total_batch_size"),
}
_SHORT = {"loss": "train_loss", "val_loss": "eval_loss", "lr": "learning_rate", "tokens": "tokens_seen"}
_COUNTS = ("step", "tokens_seen", "batch_size_tokens")
_KEYS = "|".join((*COLUMNS, *_SHORT))
_WORDS = re.compile(rf"(?P<file>.+?)(?::(?P<columns>(?:{_KEYS})=.*))?")
_MOST_BYTES, _MOST_COLUMNS = 1 << 28, 1 << 12
_WANDB_EXTREME = re.compile(r"__(MIN|MAX)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """The values of a log, by step.

    Attributes:
        file: its path as given.
        columns: value (`train_loss`) -> name of the column it stands in.
        values: value -> step -> the last number logged at that step.
    """

    file: str
    columns: Mapping[str, str]
    values: Mapping[str, Mapping[int, float | int]]

    def at(self, step: int | None) -> dict[str, float | int]:
        """The values logged at exactly this step; nothing is interpolated."""
        if step is None:
            return {}
        return {name: by_step[step] for name, by_step in self.values.items() if step in by_step}

    def source(self, name: str) -> str:
        """Where a value was read: the file and its column."""
        return f"{self.file}: {self.columns[name]}"


def read_training_log(words: str) -> TrainingLog:
    """The log named by `FILE` or `FILE:step=COLUMN,loss=COLUMN,...`.

    A file whose first line is a JSON object is read as JSONL (objects inside a row as `outer/inner`),
    any other as CSV, with tabs or semicolons too. Columns that are not named are found by their usual
    names, whatever their case, without `train/` and without the run's name that wandb puts before.

    Args:
        words: keys are `step`, `loss`, `val_loss`, `lr`, `tokens`, `batch_size_tokens`.

    Raises:
        UsageError: no such file, not a log, a column that is not there, or several that could be meant.
    """
    match = _WORDS.fullmatch(words)
    if match is None:
        raise UsageError("--log: expected FILE or FILE:step=COLUMN,loss=COLUMN,...")
    path, asked = Path(match["file"]), _asked(words, match["columns"] or "")
    content = _read(path)
    header = _header(path, content)
    columns = {name: _column(path, header, name, asked.get(name)) for name in COLUMNS}
    step_column = columns.pop("step")
    if step_column is None:
        raise UsageError(
            f"--log {path}: no column of steps among {', '.join(header)}; name it: --log {path}:step=COLUMN"
        )
    found = {name: column for name, column in columns.items() if column is not None}
    if not found:
        raise UsageError(
            f"--log {path}: none of {', '.join(header)} is a loss, a learning rate or a number of tokens; "
            f"name one: --log {path}:loss=COLUMN"
        )
    values: dict[str, dict[int, float | int]] = {name: {} for name in found}
    for row in _rows(path, content):
        step = _number(row.get(step_column), "step")
        for name, column in found.items():
            value = _number(row.get(column), name)
            if step is not None and value is not None:
                values[name][int(step)] = value
    return TrainingLog(file=str(path), columns=found, values=values)


def _header(path: Path, content: bytes) -> list[str]:
    """The names of all columns, in the order in which they come up."""
    names: dict[str, None] = {}
    for row in _rows(path, content):
        names |= dict.fromkeys(row)
        if len(names) > _MOST_COLUMNS:
            raise UsageError(f"--log {path}: more columns than the {_MOST_COLUMNS} that are read")
    return list(names)


def _asked(words: str, columns: str) -> dict[str, str]:
    asked: dict[str, str] = {}
    for pair in columns.split(",") if columns else ():
        key, equals, column = pair.partition("=")
        name = _SHORT.get(key.strip(), key.strip())
        if name not in COLUMNS or not equals or not column:
            raise UsageError(
                f"--log {words}: {pair!r} names no column; expected KEY=COLUMN, KEY one of step, "
                f"{', '.join(_SHORT)}, batch_size_tokens"
            )
        asked[name] = column
    return asked


def _rows(path: Path, content: bytes) -> Iterator[dict[str, Any]]:
    """One row after another; none is kept."""
    first = next(_lines(path, content), None)
    if first is None:
        raise UsageError(f"--log {path}: it is empty; expected CSV or JSONL")
    if first.lstrip().startswith("{"):
        yield from _json_rows(path, content)
        return
    delimiter = max(",\t;", key=first.count)
    if first.count(delimiter) >= _MOST_COLUMNS:
        raise UsageError(
            f"--log {path}: {first.count(delimiter) + 1} columns, where at most {_MOST_COLUMNS} are read"
        )
    try:
        for row in csv.DictReader(_lines(path, content), delimiter=delimiter):
            yield {name: cell for name, cell in row.items() if name is not None}
    except csv.Error as error:
        raise UsageError(f"--log {path} is not CSV: {error}; expected CSV or JSONL") from error


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, _MOST_BYTES, UsageError, where="--log ")
    except OSError as error:
        raise UsageError(f"--log {path}: {error.strerror}") from error


def _lines(path: Path, content: bytes) -> Iterator[str]:
    """The lines with something on them."""
    try:
        for line in io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig"):
            if line.strip():
                yield line
    except UnicodeDecodeError as error:
        raise UsageError(f"--log {path} is not text: expected CSV or JSONL") from error


def _json_rows(path: Path, content: bytes) -> Iterator[dict[str, Any]]:
    lines = _lines(path, content)
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            if next(lines, None) is None:  # the line that is being written while the run goes on
                return
            raise UsageError(f"--log {path}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(f"--log {path}: line {number} is not a JSON object")
        flat: dict[str, Any] = {}
        for name, value in row.items():
            inner = value if isinstance(value, dict) else {"": value}
            flat |= {f"{name}/{key}" if key else name: leaf for key, leaf in inner.items()}
        yield flat


def _column(path: Path, header: Sequence[str], name: str, asked: str | None) -> str | None:
    if asked is not None:
        if asked not in header:
            raise UsageError(
                f"--log {path}: there is no column {asked!r} for {name}; columns: {', '.join(header)}"
            )
        return asked
    for usual in COLUMNS[name]:
        meant = [column for column in header if _plain(column) == usual]
        exact = [column for column in meant if column == usual]
        if len(meant) > 1 and len(exact) != 1:
            key = next((short for short, long in _SHORT.items() if long == name), name)
            raise UsageError(
                f"--log {path}: {name} could be any of {', '.join(meant)}; name it: --log {path}:{key}=COLUMN"
            )
        if meant:
            return (exact or meant)[0]
    return None


def _plain(column: str) -> str:
    """A column's name as a usual one: lower case, without wandb's run name and `train/`.

    >>> _plain("gpt2-run - train/Loss"), _plain("val/loss"), _plain("run - loss__MIN")
    ('loss', 'val_loss', 'run - loss__min')
    """
    if _WANDB_EXTREME.search(column):
        return column.lower()
    plain = column.rpartition(" - ")[2].strip().lower().removeprefix("train/")
    return re.sub(r"^(val|eval|valid|validation)[/ ]", r"\1_", plain).replace(" ", "_")


def _number(value: object, name: str) -> float | int | None:
    """A finite number, whole and of 64 bits for counts; None for an empty cell, NaN, or no number at all."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else math.nan
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or isinstance(value, bool):
        return None
    if name not in _COUNTS:
        return number
    return int(number) if 0 <= number < 2**63 and number.is_integer() else None


def nearest_step(steps: Iterable[int], step: int) -> int | None:
    """The logged step that is nearest to `step`; of two, the earlier one."""
    return min(steps, key=lambda logged: (abs(logged - step), logged), default=None)
