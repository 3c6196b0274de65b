"""What an archive says of its run: where that lies, and which checkpoints were asked for and are missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spectra_cli.archive.content.canonical import json_text
from spectra_cli.archive.content.netcdf import text_attribute
from spectra_cli.core.errors import ArchiveError

ORIGINS, WAITING, FAILED = "origins", "waiting", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Of what run an archive or a part is, and what a scan still owes it; empty in files before format 1.3.

    Attributes:
        origins: where the run lies, as `origin_of` gives it: several once it was moved, or is seen from
            several machines.
        waiting: identity (`layout.identity`) of each checkpoint that a scan was asked for and that is not
            measured -> fingerprint of its files, empty where it cannot be read.
        failed: identity of those among them that could not be measured -> why.
    """

    origins: tuple[str, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """What is written and digested, as named values: only those that say something."""
        values = {
            ORIGINS: sorted(self.origins),
            WAITING: dict(self.waiting),
            FAILED: dict(self.failed),
        }
        return {name: value for name, value in values.items() if value}

    def owed(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What is not there: `waiting` and `failed`."""
        return self.waiting, self.failed

    def without(self, measured: Iterable[str]) -> Statement:
        """The same once these checkpoints are measured."""
        done = set(measured)
        waiting = {name: files for name, files in self.waiting.items() if name not in done}
        failed = {name: why for name, why in self.failed.items() if name in waiting}
        return Statement(origins=self.origins, waiting=waiting, failed=failed)


NOTHING_SAID = Statement()


def write_statement(root: Any, statement: Statement) -> None:
    """Write `Statement.fields` as attributes of the root, each as JSON."""
    for name, value in statement.fields().items():
        text_attribute(root, name, json_text(value, what=name))


def read_statement(root: Any) -> Statement:
    """The inverse of `write_statement`."""
    found = {n: json.loads(root.attrs[n]) for n in (ORIGINS, WAITING, FAILED) if n in root.attrs}
    return statement_from(found)


def statement_from(fields: Mapping[str, Any]) -> Statement:
    """The statement with such `fields`; what else is among them is ignored."""
    return Statement(
        origins=tuple(fields.get(ORIGINS, ())),
        waiting=dict(fields.get(WAITING, {})),
        failed=dict(fields.get(FAILED, {})),
    )


def together(statements: Iterable[Statement], measured: Iterable[str]) -> Statement:
    """What several files say of one run, of which these checkpoints are measured."""
    origins: dict[str, None] = {}
    waiting: dict[str, str] = {}
    failed: dict[str, str] = {}
    for one in statements:
        origins |= dict.fromkeys(one.origins)
        waiting |= one.waiting
        failed |= one.failed
    return Statement(origins=tuple(sorted(origins)), waiting=waiting, failed=failed).without(measured)


def check_one_run(path: Path, statements: Mapping[Path, Statement]) -> None:
    """Refuse files of one archive that say they are of different runs.

    Two files are of one run where an origin is common to both, or to others between them; a file that says
    none is not judged.

    Raises:
        ArchiveError: two of them are of different runs.
    """
    named = {file: set(one.origins) for file, one in statements.items() if one.origins}
    if not named:
        return
    first, reached = next(iter(named.items()))
    reached, left = set(reached), dict(named)
    while joined := [file for file, origins in left.items() if origins & reached]:
        for file in joined:
            reached |= left.pop(file)
    for file, origins in left.items():
        raise ArchiveError(
            f"{path} would hold two runs: {first} is of {', '.join(sorted(named[first]))} and {file} of "
            f"{', '.join(sorted(origins))}. Scan each run into its own archive with -o, or remove one of "
            "these files."
        )
