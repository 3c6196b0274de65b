"""`spectra study`: small families of runs on which a finding shows, or does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spectra_cli.cli import interrupts, options
from spectra_cli.cli.groups.group import one_of, option
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

EPILOG = examples(
    "spectra study batch-size --quick",
    "spectra study taxonomy --seeds 3 --folder studies/taxonomy",
)


def command(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="batch-size, early-tail or taxonomy.",
            autocompletion=one_of(("batch-size", "early-tail", "taxonomy")),
        ),
    ],
    *,
    folder: Path | None = option("For checkpoints and archives. [default: spectra-study/STUDY]"),
    seeds: int | None = option("Seeds of each recipe. [default: of the study]", least=1),
    quick: bool = option("Fewer runs, to a higher loss: to see what it does.", default=False),
    processes: int = option("Runs trained at once, one core each.", default=2, least=1),
    quiet: options.QuietOption = False,
    form: OutputOptions,
) -> None:
    """Train a small family of runs, scan it, and print what a finding looks like at that scale.

    batch-size: how spectra differ between batch sizes at equal loss. early-tail: whether the early tail
    exponent tells how many tokens a run needs. taxonomy: interventions whose kind is known, classified.

    Interrupted, it goes on where it was; finished, it prints its tables again. Decoders of three layers,
    on the task of `spectra demo`.
    """
    interrupts.continues()
    from spectra_cli.render.console import scan_progress
    from spectra_cli.render.outputs.study import output
    from spectra_cli.workflows.study import StudyRequest, run_study
    from spectra_cli.workflows.study_family import FamilyProgress

    chosen = form.resolve()
    request = StudyRequest(
        study=study,
        folder=folder or Path("spectra-study") / study,
        num_seeds=seeds,
        quick=quick,
        processes=processes,
    )
    with scan_progress(quiet=quiet) as report:

        def progress(now: FamilyProgress) -> None:
            interrupts.check()
            if now.running:
                names = ", ".join(now.running)
                activity = "; ".join(activity for activity, _ in now.running.values())
                done = round(100 * sum(share for _, share in now.running.values()))
                report(names, now.finished + 1, now.count, activity, done, 100)

        found = run_study(request, progress)
    emit(output(found), chosen)
