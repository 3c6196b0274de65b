"""`spectra validate`: check an archive against the format's rules."""

from __future__ import annotations

import sys

from spectra_cli.cli import options
from spectra_cli.cli.groups.output import OutputOptions
from spectra_cli.cli.help import examples
from spectra_cli.cli.output import emit

INVALID = 3

EPILOG = examples(
    "spectra validate a.spectra.h5",
    "spectra validate runs/a --json",
)


def command(archive: options.ArchiveArgument, *, form: OutputOptions) -> None:
    """Check an archive against its format.

    Structure, provenance, and that its spectra are spectra. Exit code 3 when anything in it breaks the
    format; warnings alone leave 0.
    """
    from spectra_cli.render.validate import output
    from spectra_cli.workflows.validate import unfinished_document, validate

    chosen = form.resolve()
    path, findings = validate(archive)
    emit(output(path, findings, unfinished_document(path)), chosen)
    if any(one.severity == "error" for one in findings):
        sys.exit(INVALID)
