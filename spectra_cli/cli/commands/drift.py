"""`spectra drift`: how the principal directions of a series moved."""

from __future__ import annotations

from spectra_cli.cli import options
from spectra_cli.cli.groups.group import one_of, option
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

EPILOG = examples(
    "spectra scan runs/a --probe validation.bin --vectors 64",
    "spectra drift runs/a --against first -k 16,64",
)


def command(
    archive: options.ArchiveArgument,
    *,
    against: str = option(
        "The first checkpoint, the previous one, or both.",
        default="both",
        offers=one_of(("first", "previous", "both")),
    ),
    ranks: str | None = option("Directions of a subspace, such as 16,64. [default: 16,64]", "-k"),
    form: OutputOptions,
) -> None:
    """Tell whether training turned the principal directions of the weights, or kept off them.

    Spectral shift, rotation of the leading singular subspaces, and where the change since the first
    checkpoint lies, against chance. Needs an archive made with `scan --vectors K`; without vectors only
    the shift can be told.
    """
    from spectra_cli.api.drift import drift
    from spectra_cli.render.outputs.drift import output

    chosen = form.resolve()
    emit(output(drift(archive, against=against, ranks=ranks)), chosen)
