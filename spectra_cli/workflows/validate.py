"""Check an archive, named by its path or by the folder it was scanned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spectra_cli.archive.content.layout import resolve_archive
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.validate import Fault, Severity
from spectra_cli.archive.validate import validate as validate_archive
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series import Unfinished
from spectra_cli.core.shown import Shown
from spectra_cli.workflows.identity.named_archive import check_is_of


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Validation(Shown):
    """What is wrong with an archive.

    Attributes:
        path: of the archive.
        findings: everything in it that breaks or strains the format.
        unfinished: what a scan still owes it; None where nothing, or where it cannot be read.
    """

    path: Path
    findings: tuple[Fault, ...]
    unfinished: Unfinished | None = None

    @property
    def is_valid(self) -> bool:
        """Whether nothing breaks the format; warnings do not."""
        return not any(one.severity is Severity.ERROR for one in self.findings)


def validate(archive: AnyPath) -> Validation:
    """Everything in an archive that breaks or strains the format.

    Raises:
        ArchiveError: there is no such archive, or it is of other checkpoints than those that were named.
    """
    path = resolve_archive(archive, Path.cwd())
    unfinished = None
    try:
        opened = open_archive(path)
    except ArchiveError:
        pass  # which is a finding
    else:
        check_is_of(opened, archive)
        unfinished = opened.unfinished
    return Validation(path=path, findings=tuple(validate_archive(path)), unfinished=unfinished)
