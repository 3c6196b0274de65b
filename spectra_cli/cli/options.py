"""Options that more than one command takes."""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli.groups.output import OutputOptions

CheckpointsArgument = Annotated[
    str,
    typer.Argument(
        metavar="CKPT_DIR",
        help="A run folder, one checkpoint, or org/name@revision in the hub's cache.",
    ),
]
ArchiveArgument = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="An archive, or the checkpoint folder that was scanned in this directory."
    ),
]

QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress on stderr.", rich_help_panel=OutputOptions.panel),
]

# Exit code where some checkpoints were left out.
DONE_IN_PART = 4
