"""`spectra plot`: pictures of archives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spectra_cli.cli.groups.group import one_of, option, some_of, statistics
from spectra_cli.cli.groups.output import emit, on_stdout
from spectra_cli.cli.help import examples
from spectra_cli.core.measurements import ASKED
from spectra_cli.render.drawing.registry import DRAWN_BY, KINDS
from spectra_cli.render.drawing.style import STYLES
from spectra_cli.render.figures.registry import FIGURES

FigureArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FIGURE ARCHIVE",
        help=f"{', '.join(FIGURES)}; then archives, or the checkpoint folders that were scanned.",
        show_default=False,
    ),
]

EPILOG = examples(
    "spectra plot spectrum runs/a -o spectrum.pdf",
    "spectra plot spectrum runs/a runs/b -o both.png --measure gradients",
    "spectra plot trajectory runs/a -o ranks.svg --statistic rankme_cov",
    "spectra plot --all runs/a -o figures",
)


def command(
    figure: FigureArgument = None,
    *,
    output: str | None = option(
        f"The picture: {', '.join(DRAWN_BY)} by its suffix; - for stdout; with --all, a folder.",
        "--output",
        "-o",
        metavar="FILE",
    ),
    form: str | None = option(
        f"{', '.join(KINDS)}. [default: what the suffix of FILE says]",
        "--format",
        metavar="FORM",
        offers=one_of(KINDS),
    ),
    every: bool = option("Every figure, and an index of them.", "--all", default=False),
    listed: bool = option("Say which figures there are.", "--list", default=False),
    step: str | None = option("Only these steps, such as 0,100-300."),
    layer: str | None = option("Only these layers, such as 0,3,6-9."),
    matrices: str | None = option("Only these matrices, such as attn.o,mlp.down."),
    measure: str | None = option(f"Of what: {', '.join(ASKED)}.", metavar="NAME", offers=one_of(ASKED)),
    statistic: str | None = option("Of these, such as rankme_cov,stable_rank.", offers=some_of(statistics)),
    align: str = option(
        "What to make equal between runs: loss, step or tokens.",
        default="loss",
        offers=one_of(("loss", "step", "tokens")),
    ),
    loss: str | None = option(
        "Which loss: probe, validation or train. [default: the first that all runs have]",
        offers=one_of(("probe", "validation", "train")),
    ),
    at: float | None = option(
        "At this loss (step, tokens) instead of the last common one.", metavar="NUMBER"
    ),
    style: str = option(f"{', '.join(STYLES)}.", default=next(iter(STYLES)), offers=one_of(STYLES)),
    width: float | None = option("Of the page, in inches. [default: of the style]", metavar="INCHES"),
    overwrite: bool = option("Replace what is there.", default=False),
) -> None:
    """Draw what archives hold: one figure, or with --all every figure and an index.

    Of several runs, spectra are those of the checkpoints nearest to the last point of equal loss (or step,
    or tokens). Each picture has a caption with its probe, its errors, and what was withheld and why.
    """
    from spectra_cli.api.plot import request_of
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.console import say
    from spectra_cli.render.drawing.registry import drawn, suffix_of
    from spectra_cli.render.exports.whole_file import check_target, whole_file
    from spectra_cli.render.figures.registry import figure_of
    from spectra_cli.render.plot import check_name, listing, pictures, said_of, write_set

    words = list(figure or ())
    if listed:
        emit(listing(), "table")
        return
    name = "" if every or not words else words.pop(0)
    if not every:
        if not name:
            raise UsageError(f"which figure? Known: {', '.join(FIGURES)}; or give --all")
        check_name(name)
    request = request_of(
        words,
        step=step,
        layer=layer,
        matrices=matrices,
        measure=measure,
        statistic=statistic,
        align=align,
        loss=loss,
        at=at,
    )
    if output is None:
        raise UsageError(f"nowhere to draw to: give -o {'FOLDER' if every else 'FILE, or -o - for stdout'}")
    if every:
        if output == "-" or Path(output).suffix.lower() in DRAWN_BY:
            raise UsageError(f"-o {output}: --all writes a folder of pictures; name one, such as figures")
        suffix = suffix_of(None, form or "png")
        found = pictures(request, suffix, style=style, width=width)
        say(*said_of(write_set(found, Path(output), suffix, overwrite=overwrite), Path(output)))
        return
    path = None if output == "-" else Path(output)
    suffix = suffix_of(path, form)
    if path is not None:
        check_target(path, "-o", overwrite=overwrite)
    made = figure_of(name, request)
    content = drawn(made, suffix, style=style, width=width)
    if path is None:
        with on_stdout() as text:
            text.buffer.write(content)
        return
    with whole_file(path, "-o", overwrite=overwrite) as stream:
        stream.write(content)
    say(f"{path}: {made.title}")
