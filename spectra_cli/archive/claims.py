"""What scans under way say of their archive before it has any content: files in the folder of its parts.

    claim.json            of what run the archive is; made once, by the first scan, and never changed
    asked-HASH.json       which checkpoints one scan was asked for

They are statements, not locks. Content decides where there is any; a statement of a scan that is gone and
left nothing behind counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from spectra_cli.archive.content.layout import list_parts, parts_folder
from spectra_cli.archive.content.provenance import Statement, statement_from
from spectra_cli.archive.file.atomic import runs_here, write_text
from spectra_cli.core.errors import BusyError

_CLAIM = "claim.json"
_ASKED = "asked-*.json"
_STALE_AFTER_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """One such file: what it says, and which process wrote it.

    Attributes:
        gone: identities that earlier scans were asked for and that the run no longer has.
    """

    path: Path
    statement: Statement
    gone: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0

    def is_live(self, *, elsewhere: bool = True) -> bool:
        """Whether its scan may still run; on another machine (`elsewhere`) for a day after it began."""
        if self.host == socket.gethostname():
            return runs_here(self.pid)
        try:
            return elsewhere and time.time() - self.path.stat().st_mtime < _STALE_AFTER_SECONDS
        except FileNotFoundError:
            return False

    def text(self) -> str:
        """As it is written."""
        fields = {**self.statement.fields(), "gone": self.gone, "host": self.host, "pid": self.pid}
        return json.dumps(fields, indent=1)


def read_claims(archive_path: Path) -> tuple[Claim, ...]:
    """All that is said beside an archive, the claim first; a file that cannot be read says nothing."""
    folder = parts_folder(archive_path)
    files = [folder / _CLAIM, *sorted(folder.glob(_ASKED))]
    return tuple(claim for file in files if (claim := _read(file)) is not None)


def _read(path: Path) -> Claim | None:
    try:
        found = json.loads(path.read_text())
        return Claim(
            path=path,
            statement=statement_from(found),
            gone=tuple(found["gone"]),
            host=found["host"],
            pid=int(found["pid"]),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def remove_claims(archive_path: Path, claims: Collection[Claim]) -> None:
    """Remove these, and the folder if it is then empty."""
    for claim in claims:
        with suppress(OSError):  # somebody else was faster
            claim.path.unlink()
    with suppress(OSError):  # parts are in it
        parts_folder(archive_path).rmdir()


class Asked:
    """What this scan was asked for, as the archive's other scans and readers see it."""

    def __init__(self, archive_path: Path, statement: Statement, gone: Collection[str]) -> None:
        """Nothing is written yet; `gone` as in `Claim`."""
        names = "\n".join([*statement.origins, *statement.waiting])
        digest = hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        self._archive = archive_path
        self._claim = Claim(
            path=parts_folder(archive_path) / _ASKED.replace("*", digest),
            statement=statement,
            gone=tuple(gone),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self._first: Claim | None = None  # where this scan was the first

    @property
    def origins(self) -> tuple[str, ...]:
        """Where the run lies, by this scan and those that it joined."""
        return self._claim.statement.origins

    def announce(
        self, why_another: Callable[[Statement], str], check_content: Callable[[], None] | None
    ) -> None:
        """Claim the archive for this run, or join a scan of the same run that did, and say what is asked.

        Args:
            why_another: why a scan that says so is of another run; empty where it is of this one.
            check_content: refuses content of another run; content decides over claims. None where it is to
                be replaced.

        Raises:
            ArchiveError: a scan of another run is writing it, or it cannot be written.
        """
        archive, claim = self._archive, replace(self._claim, path=parts_folder(self._archive) / _CLAIM)
        overwriting = check_content is None
        if overwriting:
            remove_claims(archive, [c for c in read_claims(archive) if not c.is_live(elsewhere=False)])
        while not write_text(claim.path, claim.text(), replace=False):
            if check_content is not None:
                check_content()
            others = read_claims(archive)
            against = {other: why for other in others if (why := why_another(other.statement))}
            if not against:
                self._say(origins={*self.origins, *(o for c in others for o in c.statement.origins)})
                return
            live = [other for other in against if other.is_live()]
            if live and (overwriting or not _has_content(archive)):
                raise BusyError(
                    f"{against[live[0]]}. If no scan of it is running any more, remove {live[0].path}"
                )
            remove_claims(archive, against)  # content says otherwise, or their scans left none
        self._first = claim
        if check_content is not None:
            check_content()
        self._say()

    def _say(self, *, origins: Collection[str] = (), failed: Mapping[str, str] | None = None) -> None:
        said = self._claim.statement
        said = replace(said, origins=tuple(sorted(origins)) or said.origins, failed=failed or said.failed)
        self._claim = replace(self._claim, statement=said)
        write_text(self._claim.path, self._claim.text())

    def note_failures(self, failed: Mapping[str, str]) -> None:
        """Say which checkpoints could not be measured, and why."""
        if failed:
            self._say(failed=failed)

    def withdraw(self) -> None:
        """Take back what was said, where nothing came of it: neither an archive nor a part."""
        if _has_content(self._archive):
            return
        joined = [c for c in read_claims(self._archive) if c.path.name not in (_CLAIM, self._claim.path.name)]
        first = [self._first] if self._first is not None and not joined else []
        remove_claims(self._archive, [self._claim, *first])


def _has_content(archive_path: Path) -> bool:
    return archive_path.is_file() or bool(list_parts(archive_path))


@contextmanager
def announced(
    asked: Asked, why_another: Callable[[Statement], str], check_content: Callable[[], None] | None
) -> Iterator[Asked]:
    """`Asked.announce`, taken back on every way out that leaves no content."""
    try:
        asked.announce(why_another, check_content)
        yield asked
    finally:
        asked.withdraw()
