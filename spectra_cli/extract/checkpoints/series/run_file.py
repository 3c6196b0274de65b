"""`run.toml` in a run's folder: what the user knows about the run, and no file of it says."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spectra_cli.core.bounded_text import read_bounded
from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.extract.checkpoints.series.found import parse_step

RUN_FILE = "run.toml"
_MOST_BYTES = 1 << 20

_KINDS: Mapping[str, type] = {
    "name": str,
    "log": str,
    "batch_size_tokens": int,
    "sequence_length": int,
    "dataset": str,
    "notes": str,
    "model": dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """The content of a `run.toml`; empty where there is none.

    Attributes:
        path: of the file; None without one.
        name: of the run, in place of its folder's.
        log: as `--log`; a relative path starts at the file's folder.
        batch_size_tokens: tokens of one optimiser step.
        model: facts about the architecture, put over those of the files.
        facts: `dataset`, `notes`, `sequence_length`, as text.
    """

    path: Path | None = None
    name: str = ""
    log: str = ""
    batch_size_tokens: int | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def read_run_file(checkpoints: str) -> RunFile:
    """The `run.toml` of the series at this path: in the folder, or in that of the file.

    A folder of one checkpoint (`checkpoint-500`, `checkpoints`) has that of the folder above too.

    Raises:
        UsageError: not TOML, an unknown key, or a value of another kind.
    """
    given = Path(os.path.abspath(checkpoints))
    folder = given if given.is_dir() else given.parent
    inside_run = folder.name == "checkpoints" or parse_step(folder.name) is not None
    above = (folder.parent,) if inside_run else ()
    path = next((f / RUN_FILE for f in (folder, *above) if os.path.lexists(f / RUN_FILE)), None)
    if path is None:
        return RunFile()
    values = _values(path)
    log = values.get("log", "")
    # the folder may come from somebody else
    if log and not (path.parent / log).resolve().is_relative_to(path.parent.resolve()):
        raise UsageError(f"{path}: log {log!r} lies outside the folder; give it with --log")
    return RunFile(
        path=path,
        name=values.get("name", ""),
        log=str(path.parent / log) if log else "",
        batch_size_tokens=values.get("batch_size_tokens"),
        model=values.get("model", {}),
        facts={key: str(values[key]) for key in ("dataset", "notes", "sequence_length") if key in values},
    )


def _values(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(read_bounded(path, _MOST_BYTES, UsageError).decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    if unknown := sorted(set(values) - set(_KINDS)):
        meant = did_you_mean(unknown[0], _KINDS)
        raise UnknownNameError(f"{path}: unknown key {', '.join(unknown)}{meant}; keys: {', '.join(_KINDS)}")
    for key, value in values.items():
        kind = _KINDS[key]
        if type(value) is not kind or (isinstance(value, int) and not 1 <= value < 2**63):
            words = {str: "text", int: "a whole number of at least 1", dict: "a table [model]"}[kind]
            raise UsageError(f"{path}: {key} is {value!r}; expected {words}")
    return values
