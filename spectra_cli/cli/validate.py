"""`spectra validate`: check an archive against the format's rules."""

from __future__ import annotations

import sys

from spectra_cli.cli import options

INVALID = 3


def command(archive: options.ArchiveArgument, *, as_json: options.JsonOption = False) -> None:
    """Check an archive against its format.

    Structure, provenance, and that its spectra are spectra. Exit code 3 when anything in it breaks the
    format; warnings alone leave 0.
    """
    from spectra_cli.render.console import results
    from spectra_cli.render.tidy import as_json as json_text
    from spectra_cli.workflows.validate import validate

    path, findings = validate(archive)
    errors = [f for f in findings if f.severity == "error"]
    if as_json:
        rows = [{"severity": f.severity, "where": f.where, "message": f.message} for f in findings]
        document = {
            "schema": "spectra.validate/1",
            "archive": str(path),
            "valid": not errors,
            "findings": rows,
        }
        sys.stdout.write(json_text(document))
    else:
        console = results()
        for finding in findings:
            style = "red" if finding.severity == "error" else "yellow"
            console.print(
                f"{finding.severity}: {finding.where}: {finding.message}", style=style, markup=False
            )
        verdict = "is not valid" if errors else "is valid"
        warnings = len(findings) - len(errors)
        console.print(f"{path} {verdict}: {len(errors)} errors, {warnings} warnings", markup=False)
    if errors:
        sys.exit(INVALID)
