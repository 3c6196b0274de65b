"""The settings that a scan is asked for: by preset, run file, name and option."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spectra_cli.core.bounded_text import read_bounded
from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.measurements import SCANNED
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.settings import ScanSettings, resolve_settings
from spectra_cli.core.words import lists
from spectra_cli.core.words.names import did_you_mean

_MOST_BYTES = 1 << 20


def settings_asked(
    *, preset: str | None, config: AnyPath | None, said: Mapping[str, Any], given: Mapping[str, Any]
) -> ScanSettings:
    """The preset, then the run file, then what was said by name, then the options: later ones win.

    Args:
        preset: its name; None for what the others say, or `default`.
        config: a TOML run file with a table [scan].
        said: settings by name (`--set scan.NAME=VALUE`).
        given: name of a setting -> value of its option, None where it was not given.

    Raises:
        UsageError: an unknown preset, setting or value; a run file that cannot be read.
    """
    among, values = "default", dict[str, Any]()
    from_file = {} if config is None else _from_file(Path(config))
    for where, more in ((f"--config {config}", from_file), ("--set", dict(said))):
        among, values = more.pop("preset", among), values | more
        try:
            resolve_settings(among, values)
        except UsageError as error:
            raise type(error)(f"{where}: {error}") from error
    asked = {name: value for name, value in given.items() if value is not None}
    return resolve_settings(preset or among, values | asked)


def measurements_asked(asked: lists.Words) -> tuple[str, ...]:
    """The measurements of a scan that `--measure` names, in canonical order.

    >>> measurements_asked("weights,activations")
    ('activation_covariance', 'weight')

    Raises:
        UsageError: a word that names none.
    """
    named = [word.strip() for word in (asked.split(",") if isinstance(asked, str) else asked)]
    unknown = [word for word in named if word not in SCANNED and word not in SCANNED.values()]
    if unknown:
        shown = asked if isinstance(asked, str) else ",".join(named)
        meant = did_you_mean(unknown[0], SCANNED)
        raise UnknownNameError(
            f"--measure {shown}: {', '.join(unknown)} is not one of {', '.join(SCANNED)}{meant}"
        )
    return tuple(name for word, name in SCANNED.items() if word in named or name in named)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(read_bounded(path, _MOST_BYTES, UsageError, where="--config ").decode())
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from error
    settings = document.pop("scan", {})
    if document or not isinstance(settings, dict):
        found = ", ".join(document) or "a value"
        meant = did_you_mean(next(iter(document), ""), ["scan"])
        raise UnknownNameError(f"--config {path}: expected one table [scan]; found {found}{meant}")
    return settings
