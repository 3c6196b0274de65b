"""`spectra compare`: are these runs different inside, where, and beyond the measurement's noise?"""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli import options
from spectra_cli.cli.groups.completion import one_of, some_of, statistics
from spectra_cli.cli.groups.group import option
from spectra_cli.cli.groups.output import OutputOptions
from spectra_cli.cli.help import examples
from spectra_cli.cli.output import emit
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
    at: str | None = option("The points themselves, such as 3.5,3.28 or 1000,2000."),
    layer: str | None = option("Only these layers, such as 0,3,6-9."),
    measure: str | None = option(
        "Only these: activations, gradients, weights, updates, uncentred-gradients.", offers=some_of(ASKED)
    ),
    statistic: str | None = option(
        "Only these statistics and distances, such as rankme_cov.", offers=some_of(statistics)
    ),
    baseline: str | None = option("The run that the others are compared with. [default: the first]"),
    taxonomy: bool = option("List the evidence of learning-side or execution-side.", default=False),
    replicates: str | None = option("Runs among them that are other seeds of the baseline's recipe."),
    throughput_ratio: float | None = option("Tokens a second of RUN_B over RUN_A, if measured."),
    allow: str | None = option("What may have been measured differently, such as probe,dtype."),
    form: OutputOptions,
) -> None:
    """Compare runs at equal loss: where they differ inside, and whether beyond the noise.

    Needs two archives or more, and no model. Every difference comes with its standard error and with the
    noise floor of the probe; verdicts are corrected for the number of differences looked at.
    """
    from spectra_cli.analysis.compare.differences import Choice
    from spectra_cli.analysis.comparison import CompareRequest
    from spectra_cli.analysis.run import Axis, Loss
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.compare import output
    from spectra_cli.workflows.compare import compare

    chosen = form.resolve()
    measures = options.words(measure)
    for word in measures or ():
        if word not in ASKED:
            raise UsageError(f"--measure {measure}: {word} is not one of {', '.join(ASKED)}")
    comparison = compare(
        CompareRequest(
            runs=tuple(runs),
            axis=options.one_of(Axis, align, "--align"),
            loss=None if loss is None else options.one_of(Loss, loss, "--loss"),
            number=points,
            at=_numbers(at),
            choice=Choice(
                measurements=None if measures is None else tuple(ASKED[word] for word in measures),
                statistics=options.words(statistic),
                layers=options.integers(layer, "--layer"),
            ),
            baseline=baseline,
            allowed=options.words(allow) or (),
            replicates=options.words(replicates) or (),
            throughput_ratio=throughput_ratio,
        )
    )
    emit(output(comparison, lists_evidence=taxonomy), chosen)


def _numbers(words: str | None) -> tuple[float, ...] | None:
    from spectra_cli.core.errors import UsageError

    try:
        return None if words is None else tuple(float(word) for word in options.words(words) or ())
    except ValueError:
        raise UsageError(f"--at {words}: expected numbers such as 3.5,3.28") from None
