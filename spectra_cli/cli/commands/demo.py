"""`spectra demo`: two tiny runs, trained, scanned and shown."""

from __future__ import annotations

from pathlib import Path

from spectra_cli.cli import interrupts, options
from spectra_cli.cli.groups.group import option
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

EPILOG = examples(
    "spectra demo",
    "spectra demo -o /tmp/demo --quiet",
)


def command(
    *,
    output: Path = option(
        "Folder for checkpoints and archives.",
        "--output",
        "-o",
        default=Path("spectra-demo"),
        metavar="FOLDER",
    ),
    quiet: options.QuietOption = False,
    form: OutputOptions,
) -> None:
    """Train two tiny runs, scan and show them.

    Two decoders, one trained with AdamW and one with Muon, in ordinary checkpoint folders to try the
    other commands on. The task is next-token prediction of modular arithmetic in bands.
    """
    interrupts.continues()
    from spectra_cli.render.console import say, scan_progress
    from spectra_cli.render.outputs import demo as rendering
    from spectra_cli.workflows.demo import RECIPES, demo
    from spectra_cli.workflows.scan import ScanProgress
    from spectra_cli.workflows.show import show

    chosen = form.resolve()
    with scan_progress(quiet=quiet) as report:

        def training(run: str, done: int, total: int) -> None:
            interrupts.check()
            number = RECIPES.index(run) + 1
            report(f"training {run}", number, len(RECIPES), f"step {done}", done, total)

        def scanning(now: ScanProgress) -> None:
            interrupts.check()
            where = f"{now.ref.run} {now.ref.key}"
            report(where, now.number, now.count, now.activity, now.done, now.total)

        runs = demo(output, training=training, scanning=scanning)
    emit(rendering.output([show(str(run.scan.archive)) for run in runs]), chosen)
    say("The folders are ordinary ones; go on with, for example:")
    first = runs[0]
    probe = first.folder / "probe.npy"
    for command_line in (
        f"spectra inspect {first.folder} --sequence-length 32",
        f"spectra scan {first.folder} --probe {probe} --sequence-length 32 --layers all",
        f"spectra show {first.scan.archive} --statistic rankme_cov,head_exponent_1_10",
        f"spectra show {first.scan.archive} --format csv",
    ):
        say(f"  {command_line}")
