"""`spectra phases`: the phases of a run's training."""

from __future__ import annotations

from spectra_cli.cli import options
from spectra_cli.cli.groups.group import one_of, option, statistics
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

EPILOG = examples(
    "spectra phases runs/a",
    "spectra phases runs/a --layer 5 --alpha alpha_req_11_100 --format csv",
)


def command(
    archive: options.ArchiveArgument,
    *,
    layer: int | None = option("Of which layer. [default: the last one measured]"),
    alpha: str | None = option(
        "The decay exponent. [default: alpha_req_11_100, or a narrower window that fits]",
        offers=one_of(statistics),
    ),
    form: OutputOptions,
) -> None:
    """Find warm-up, entropy-seeking and compression-seeking phases of a run.

    From effective rank and decay exponent of a layer's activations over tokens: segments between the
    turning points of the effective rank, each boundary with its uncertainty, each change with its
    standard error. That there are none is an answer.
    """
    from spectra_cli.api.phases import phases
    from spectra_cli.render.outputs.phases import output

    chosen = form.resolve()
    emit(output(phases(archive, layer=layer, alpha=alpha)), chosen)
