"""`spectra drift`: how the principal directions of a series moved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spectra_cli.cli import options
from spectra_cli.cli.completion import one_of
from spectra_cli.cli.help import examples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_AGAINST = {"first": ("first",), "previous": ("previous",), "both": ("first", "previous")}

EPILOG = examples(
    "spectra scan runs/a --probe validation.bin --vectors 64",
    "spectra drift runs/a --against first -k 16,64",
)


def command(
    archive: options.ArchiveArgument,
    *,
    against: Annotated[
        str,
        typer.Option(
            "--against",
            help="The first checkpoint, the previous one, or both.",
            autocompletion=one_of(_AGAINST),
        ),
    ] = "both",
    ranks: Annotated[
        str | None, typer.Option("-k", help="Directions of a subspace, such as 16,64. [default: 16,64]")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, json or csv. [default: table]")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Tell whether training turned the principal directions of the weights, or kept off them.

    Spectral shift, rotation of the leading singular subspaces, and where the change since the first
    checkpoint lies, against chance. Needs an archive made with `scan --vectors K`; without vectors only
    the shift can be told.
    """
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.console import say
    from spectra_cli.render.drift_document import COLUMNS, as_document, tidy_rows
    from spectra_cli.render.tidy import as_csv
    from spectra_cli.render.tidy import as_json as json_text
    from spectra_cli.workflows.drift import drift

    form = options.output_form(form, as_json=as_json)
    if against not in _AGAINST:
        raise UsageError(f"--against {against}: expected first, previous or both")
    document = as_document(drift(archive, against=_AGAINST[against], ranks=options.integers(ranks, "-k")))
    if form == "json":
        sys.stdout.write(json_text(document))
    elif form == "csv":
        sys.stdout.write(as_csv(tidy_rows(document), COLUMNS))
        say(*document["notices"])
    else:
        _print(document)


def _print(document: Mapping[str, Any]) -> None:
    from spectra_cli.render import drift
    from spectra_cli.render.console import print_results

    path = Path(document["archive"])
    shown = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
    print_results(*drift.heading(document, shown), *drift.verdicts(document), drift.series_table(document))
    against = "first" if any(p["against"] == "first" for p in document["pairs"]) else "previous"
    tables = [drift.kinds_table(document, against, place) for place in range(max(len(document["ranks"]), 1))]
    # of the larger subspaces the means only; --format csv and -k have the rest
    tables += [table(document, against, 0) for table in (drift.matrices_table, drift.activations_table)]
    print_results(*(table for table in tables if table is not None))
