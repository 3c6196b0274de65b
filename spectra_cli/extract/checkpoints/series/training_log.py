"""A training log beside the checkpoints, CSV or JSONL: what was logged at a step, by column name."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.extract.checkpoints.series.training_log_rows import UNFINISHED_LINE, CutCell, LogRows

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
# what loggers write where there is no number
_NOTHING = ("", "-", "none", "null", "na", "n/a", "<na>")
_WANDB_EXTREME = re.compile(r"__(MIN|MAX)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """The values of a log, by step.

    Attributes:
        file: its path as given.
        columns: value (`train_loss`) -> name of the column it stands in.
        values: value -> step -> the last number logged at that step.
        unread: value -> step -> why what is logged last at that step is not taken.
        notices: what was left out without a step to say it at.
    """

    file: str
    columns: Mapping[str, str]
    values: Mapping[str, Mapping[int, float | int]]
    unread: Mapping[str, Mapping[int, str]]
    notices: tuple[str, ...]

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
    The last cell of a last line without a line end may be half a number: it is left out.

    Args:
        words: keys are `step`, `loss`, `val_loss`, `lr`, `tokens`, `batch_size_tokens`.

    Raises:
        UsageError: no such file, not a log, a column that is not there, or several that could be meant.
    """
    match = _WORDS.fullmatch(words)
    if match is None:
        raise UsageError("--log: expected FILE or FILE:step=COLUMN,loss=COLUMN,...")
    path, asked = Path(match["file"]), _asked(words, match["columns"] or "")
    rows = LogRows(path)
    header = rows.columns
    columns = {name: _column(path, rows, name, asked.get(name)) for name in COLUMNS}
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
    return _taken(path, rows, step_column, found)


def _taken(path: Path, rows: LogRows, step_column: str, columns: Mapping[str, str]) -> TrainingLog:
    values: dict[str, dict[int, float | int]] = {name: {} for name in columns}
    unread: dict[str, dict[int, str]] = {name: {} for name in columns}
    no_steps: dict[str, int] = {}
    for row in rows:
        step = _number(row.get(step_column), "step")
        if step is None:
            if reason := _unread(row.get(step_column), "step"):
                no_steps[reason] = no_steps.get(reason, 0) + 1
            continue
        for name, column in columns.items():
            cell = row.get(column)
            value = _number(cell, name)
            if value is not None:
                values[name][int(step)] = value
                unread[name].pop(int(step), None)
            elif reason := _unread(cell, name):
                values[name].pop(int(step), None)
                unread[name][int(step)] = reason
    notices = [f"{path}: {UNFINISHED_LINE}"] if rows.is_unfinished else []
    if no_steps:
        reason, num_rows = next(iter(no_steps)), sum(no_steps.values())
        lines = "a row is" if num_rows == 1 else f"{num_rows} rows are"
        notices.append(f"{path}: {lines} left out, whose {step_column} {reason}")
    return TrainingLog(file=str(path), columns=columns, values=values, unread=unread, notices=tuple(notices))


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


def _column(path: Path, rows: LogRows, name: str, asked: str | None) -> str | None:
    """The column of a value, None where there is none; refused where two have its name."""
    column = _meant(path, rows.columns, name, asked)
    if column in rows.twice:
        key = next((short for short, long in _SHORT.items() if long == name), name)
        raise UsageError(
            f"--log {path}: {name} could be two columns of the file, both named {column!r}, which "
            f"{key}=COLUMN cannot tell apart; rename one in the file"
        )
    return column


def _meant(path: Path, header: Collection[str], name: str, asked: str | None) -> str | None:
    if asked is not None:
        if asked not in header:
            raise UnknownNameError(
                f"--log {path}: there is no column {asked!r} for {name}"
                f"{did_you_mean(asked, header)}; columns: {', '.join(header)}"
            )
        return asked
    for usual in COLUMNS[name]:
        meant = [column for column in header if _plain(column) == usual]
        exact = [column for column in meant if column.strip() == usual]
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


def _unread(cell: object, name: str) -> str:
    """Why a cell with something in it is not a number; empty where there is nothing, or NaN."""
    text = cell.text if isinstance(cell, CutCell) else cell
    if isinstance(text, str) and text.strip().lower() in _NOTHING:
        return ""
    if isinstance(cell, CutCell):
        return (
            f"is {cell.text!r:.40} at the end of the file without a line end, which may be cut off: left "
            "out; end the line if it is whole"
        )
    try:
        number = float(cell) if isinstance(cell, (str, int, float)) else math.nan
    except ValueError:
        return f"is {cell!r:.40}, which is not a number; expected one such as 3.1, with a point"
    except OverflowError:
        return f"is {cell!r:.40}, which no float holds"
    if name in _COUNTS and math.isfinite(number):
        return f"is {cell!r:.40}; expected a whole number below 2^63"
    return ""


def nearest_step(steps: Iterable[int], step: int) -> int | None:
    """The logged step that is nearest to `step`; of two, the earlier one."""
    return min(steps, key=lambda logged: (abs(logged - step), logged), default=None)
