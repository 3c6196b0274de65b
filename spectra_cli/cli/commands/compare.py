"""`spectra compare`: are these runs different inside, where, and beyond the measurement's noise?"""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli.groups.group import one_of, option, some_of, statistics
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.groups.report import ReportOptions
from spectra_cli.cli.help import examples
from spectra_cli.core.measurements import ASKED

RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN_A RUN_B [RUN_C ...]", help="Archives, or the checkpoint folders that were scanned."
    ),
]

EPILOG = examples(
    "spectra compare runs/adamw runs/muon",
    "spectra compare runs/a runs/b --at 3.5,3.28 --layer 0,3 --measure weights",
    "spectra compare runs/a runs/b --report both.html",
    "spectra compare runs/a runs/b runs/c --taxonomy --replicates runs/c",
)


def command(
    runs: RunsArgument,
    *,
    align: str = option(
        "What to make equal: loss, step or tokens.",
        default="loss",
        offers=one_of(("loss", "step", "tokens")),
    ),
    loss: str | None = option(
        "Which: probe, validation or train. [default: the first that all runs have]",
        offers=one_of(("probe", "validation", "train")),
    ),
    points: int = option("Number of aligned points.", default=5),
    at: str | None = option("The points themselves, such as 3.5,3.28 or 1000,2000.", metavar="POINTS"),
    layer: str | None = option("Only these layers, such as 0,3,6-9."),
    measure: str | None = option(
        "Only these: activations, gradients, weights, updates, uncentred-gradients.", offers=some_of(ASKED)
    ),
    statistic: str | None = option(
        "Only these statistics and distances, such as rankme_cov.", offers=some_of(statistics)
    ),
    baseline: str | None = option(
        "The run that the others are compared with. [default: the first]", metavar="RUN"
    ),
    taxonomy: bool = option("List the evidence of learning-side or execution-side.", default=False),
    replicates: str | None = option(
        "Runs among them that are other seeds of the baseline's recipe.", metavar="RUNS"
    ),
    throughput_ratio: float | None = option("Tokens a second of RUN_B over RUN_A, if measured."),
    allow: str | None = option(
        "What may have been measured differently, such as probe,dtype.", metavar="NAMES"
    ),
    report: ReportOptions,
    form: OutputOptions,
) -> None:
    """Compare runs at equal loss: where they differ inside, and whether beyond the noise.

    Needs two archives or more, and no model. Every difference comes with its standard error and with the
    noise floor of the probe; verdicts are corrected for the number of differences looked at.
    """
    from spectra_cli.api.compare import compare
    from spectra_cli.render.outputs.compare import output

    chosen = form.resolve()
    report.check()
    comparison = compare(
        *runs,
        align=align,
        loss=loss,
        points=points,
        at=at,
        layer=layer,
        measure=measure,
        statistic=statistic,
        baseline=baseline,
        replicates=replicates,
        throughput_ratio=throughput_ratio,
        allow=allow,
    )
    emit(output(comparison, lists_evidence=taxonomy), chosen)
    report.write(tuple(runs), comparison)
