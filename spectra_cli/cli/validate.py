"""`spectra validate`: check an archive against the format's rules."""

from __future__ import annotations

import sys

from spectra_cli.cli import options
from spectra_cli.cli.help import examples

INVALID = 3

EPILOG = examples(
    "spectra validate a.spectra.h5",
    "spectra validate runs/a --json",
)


def command(archive: options.ArchiveArgument, *, as_json: options.JsonOption = False) -> None:
    """Check an archive against its format.

    Structure, provenance, and that its spectra are spectra. Exit code 3 when anything in it breaks the
    format; warnings alone leave 0.
    """
    from spectra_cli.render.console import print_results
    from spectra_cli.render.table import line
    from spectra_cli.render.tidy import as_json as json_text
    from spectra_cli.workflows.validate import unfinished_document, validate

    path, findings = validate(archive)
    errors = [f for f in findings if f.severity == "error"]
    if as_json:
        rows = [{"severity": f.severity, "where": f.where, "message": f.message} for f in findings]
        document = {
            "schema": "spectra.validate/1",
            "archive": str(path),
            "valid": not errors,
            "unfinished": unfinished_document(path),
            "findings": rows,
        }
        sys.stdout.write(json_text(document))
    else:
        for finding in findings:
            style = "red" if finding.severity == "error" else "yellow"
            print_results(line(f"{finding.severity}: {finding.where}: {finding.message}", style=style))
        counts = f"{len(errors)} error(s), {len(findings) - len(errors)} warning(s)"
        print_results(line(f"{path} {'is not valid' if errors else 'is valid'}: {counts}"))
    if errors:
        sys.exit(INVALID)
