"""`spectra compare`: are these runs different inside, where, and beyond the measurement's noise?"""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli import options
from spectra_cli.cli.groups.completion import one_of, some_of, statistics
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
    align: Annotated[
        str,
        typer.Option(
            "--align",
            help="What to make equal: loss, step or tokens.",
            autocompletion=one_of(("loss", "step", "tokens")),
        ),
    ] = "loss",
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            help="Which: probe, validation or train. [default: the first that all runs have]",
            autocompletion=one_of(("probe", "validation", "train")),
        ),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Number of aligned points.")] = 5,
    at: Annotated[
        str | None, typer.Option("--at", help="The points themselves, such as 3.5,3.28 or 1000,2000.")
    ] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Only these layers, such as 0,3,6-9.")] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure",
            help="Only these: activations, gradients, weights, updates, uncentred-gradients.",
            autocompletion=some_of(ASKED),
        ),
    ] = None,
    statistic: Annotated[
        str | None,
        typer.Option(
            "--statistic",
            help="Only these statistics and distances, such as rankme_cov.",
            autocompletion=some_of(statistics),
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="The run that the others are compared with. [default: the first]"),
    ] = None,
    taxonomy: Annotated[
        bool, typer.Option("--taxonomy", help="List the evidence of learning-side or execution-side.")
    ] = False,
    replicates: Annotated[
        str | None,
        typer.Option("--replicates", help="Runs among them that are other seeds of the baseline's recipe."),
    ] = None,
    throughput_ratio: Annotated[
        float | None,
        typer.Option("--throughput-ratio", help="Tokens a second of RUN_B over RUN_A, if measured."),
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option("--allow", help="What may have been measured differently, such as probe,dtype."),
    ] = None,
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
