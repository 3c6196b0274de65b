"""`spectra show`: the statistics of an archive."""

from __future__ import annotations

from spectra_cli.cli import options
from spectra_cli.cli.groups.group import option, some_of, statistics
from spectra_cli.cli.groups.output import OutputOptions, emit, shows_tables
from spectra_cli.cli.help import examples

EPILOG = examples(
    "spectra show runs/a",
    "spectra show a.spectra.h5 --step 0,1000-2000 --layer 0,5",
    "spectra show runs/a --statistic rankme_cov,head_exponent_1_10",
    "spectra show runs/a --plot",
    "spectra show runs/a --format csv > a.csv",
)


def command(
    archive: options.ArchiveArgument,
    *,
    step: str | None = option("Only these steps, such as 0,100-300."),
    layer: str | None = option("Only these layers, such as 0,3,6-9."),
    statistic: str | None = option(
        "Only these, over the series, such as rankme_cov,stable_rank.", offers=some_of(statistics)
    ),
    plot: bool = option("Draw the spectrum and its rank over training, in the terminal.", default=False),
    form: OutputOptions,
) -> None:
    """Print the statistics of an archive, with standard errors.

    As a table: the series, then the layers of its last checkpoint (or of each --step). With
    --statistic: that statistic at every site, over the series. CSV and JSON hold every value.
    """
    from spectra_cli.api.show import show
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.outputs.show import output

    chosen = form.resolve()
    if plot and not shows_tables(chosen):
        raise UsageError(f"--plot draws, and --format {chosen} holds numbers alone; leave one of them out")
    shown = output(show(archive, step=step, layer=layer, statistic=statistic))
    if plot:
        from spectra_cli.render.plot import drawings

        shown = drawings(archive, shown, step=step, layer=layer, statistic=statistic)
    emit(shown, chosen)
