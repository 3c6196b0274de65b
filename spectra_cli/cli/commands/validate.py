"""`spectra validate`: check an archive against the format's rules."""

from __future__ import annotations

import sys

from spectra_cli.cli import options
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

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
    from spectra_cli.api.validate import validate
    from spectra_cli.render.outputs.validate import output

    chosen = form.resolve()
    found = validate(archive)
    emit(output(found), chosen)
    if not found.is_valid:
        sys.exit(INVALID)
