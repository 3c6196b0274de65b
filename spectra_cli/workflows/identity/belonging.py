"""A scan and its archive: refused where that is of another run, announced to other scans where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spectra_cli.archive.claims import Asked, announced
from spectra_cli.archive.content.layout import identity, list_parts
from spectra_cli.archive.content.provenance import Statement
from spectra_cli.archive.reader import Archive, open_archive
from spectra_cli.core.errors import ArchiveError, OtherRunError
from spectra_cli.workflows.identity.named_archive import of_words
from spectra_cli.workflows.identity.same_run import Judgement, RunAsked, judge_archive, judge_statement


class Belonging:
    """Whether the checkpoints that are to be scanned belong into an archive."""

    def __init__(self, archive: Path, asked: RunAsked) -> None:
        """Nothing is read yet."""
        self._path = archive
        self._asked = asked
        self._judgement = Judgement()

    def check(self) -> None:
        """Refuse an archive whose content is of another run.

        Raises:
            ArchiveError: it is, with what it is of and what was asked; or its file is damaged.
        """
        content = self._content()
        if content is None:
            return
        self._judgement = judge_archive(content, self._asked)
        if why := self._judgement.why_another:
            raise OtherRunError(self._refusal(of_words(content), why))

    @contextmanager
    def announced(self, *, overwrite: bool, whole: bool) -> Iterator[Asked]:
        """Tell other scans and readers, while this one is under way, what the archive is of and shall hold.

        Args:
            overwrite: its content is to be replaced, whatever run that is of.
            whole: all checkpoints of the run were asked for, so that others wait for nothing.

        Raises:
            ArchiveError: it is, or is being made, of another run.
        """
        content = None if overwrite else self._content()
        by_name = {identity(ref): ref for ref in self._asked.refs if identity(ref) in self._asked.chosen}
        known = Statement() if content is None else content.statement
        moved_from: tuple[str, ...] = ()
        if content is not None:  # where two runs may be mixed, only what a scan saw to be one is one
            moved_from = content.statement.origins if content.mixture else content.origins
        statement = Statement(
            origins=tuple(sorted({*moved_from, self._asked.origin})),
            waiting={name: self._asked.fingerprint(ref) for name, ref in by_name.items()},
        )
        gone = [name for name in known.waiting if name not in self._asked.by_name] if whole else []
        asked = Asked(self._path, statement, gone)
        with announced(asked, self._why_another, None if overwrite else self.check):
            yield asked

    def kept_though_moved(self) -> Mapping[str, str]:
        """Identity -> fingerprint of checkpoints that the archive holds under their address of before."""
        by_name = self._asked.by_name
        return {name: self._asked.fingerprint(by_name[name]) for name in self._judgement.same_content}

    def _content(self) -> Archive | None:
        """What is in the archive; None where there is nothing that can be read of it."""
        if not (self._path.is_file() or list_parts(self._path)):
            return None
        try:
            return open_archive(self._path)
        except ArchiveError:
            if self._path.is_file():
                raise
            return None  # damaged parts alone: they are measured again

    def _why_another(self, statement: Statement) -> str:
        why = judge_statement(statement, self._asked).why_another
        where = " and ".join(statement.origins)
        return why and self._refusal(f"being made of {where}, by a scan that has finished nothing yet", why)

    def _refusal(self, held: str, why: str) -> str:
        asked = self._asked
        return (
            f"{self._path} is {held}, not of {asked.origin}, which was asked for as {asked.path}: {why}. "
            f"Give {asked.path} an archive of its own with -o, or replace this one with --overwrite"
        )
