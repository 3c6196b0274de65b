"""Every format by its suffix, and every tracker by its name. A new one is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.extras import from_extra
from spectra_cli.core.words.names import did_you_mean

if TYPE_CHECKING:
    from spectra_cli.render.exports.logged import Tracker
    from spectra_cli.render.exports.target import FileTarget

# suffix, and the word that `--format` takes -> module of this room, which holds it as TARGET and is imported
# when somebody asks for it
FILES: Mapping[str, str] = {
    "csv": "csv",
    "jsonl": "jsonl",
    "parquet": "parquet",
    "nc": "netcdf",
    "npz": "npz",
}
# the word that `--to` takes -> module of this room, which holds it as TRACKER
TRACKERS: Mapping[str, str] = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}


def tracker(word: str) -> Tracker:
    """The tracker that `--to WORD` names.

    Raises:
        UsageError: there is no such tracker, or a package that it needs is not installed.
    """
    if word not in TRACKERS:
        raise UnknownNameError(
            f"--to {word}{did_you_mean(word, TRACKERS)}: expected one of {', '.join(TRACKERS)}"
        )
    found = cast("Tracker", import_module(f"{__package__}.{TRACKERS[word]}").TRACKER)
    if found.needs is not None:
        from_extra(*found.needs, found.title)
    return found


def file_target(word: str) -> FileTarget:
    """The format of files `.WORD`; a key of FILES.

    Raises:
        UsageError: a package that it needs is not installed.
    """
    target = cast("FileTarget", import_module(f"{__package__}.{FILES[word]}").TARGET)
    if target.needs is not None:
        from_extra(*target.needs, f"a .{word} file")
    return target


def word_of(path: Path | None, word: str | None) -> str:
    """The key of FILES that is meant by the name of a file, or by a word beside it.

    Args:
        path: of the file; None for stdout.
        word: of `--format`, if given.

    >>> word_of(Path("a.spectra.CSV"), None), word_of(Path("table.dat"), "csv"), word_of(None, "jsonl")
    ('csv', 'csv', 'jsonl')

    Raises:
        UsageError: there is no such format, none is said, or the two contradict each other.
    """
    suffix = "" if path is None else path.suffix.lower().removeprefix(".")
    if word is None:
        if suffix in FILES:
            return suffix
        found = (
            f"-o {path} ends in .{suffix}{did_you_mean(suffix, FILES)}"
            if suffix
            else ("-o - has no suffix to say the format" if path is None else f"-o {path} has no suffix")
        )
        raise UnknownNameError(
            f"{found}: expected one of {_listed('.')}, or --format with one of {_listed()}"
        )
    if word not in FILES:
        raise UnknownNameError(f"--format {word}{did_you_mean(word, FILES)}: expected one of {_listed()}")
    if suffix in FILES and suffix != word:
        raise UsageError(f"--format {word} contradicts the suffix of {path}; give one of them")
    return word


def _listed(before: str = "") -> str:
    return ", ".join(f"{before}{word}" for word in FILES)
