"""`spectra.plot` and `run.plot`: figures as values, as files, and drawn into the user's own axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.analysis.run import Axis, Loss, Run
from spectra_cli.api.drawn_figure import DrawnFigure, with_drawing
from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.measurements import ASKED
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.render.drawing.registry import draw_into, drawn, suffix_of
from spectra_cli.render.exports.whole_file import check_target, whole_file
from spectra_cli.render.figures.registry import FIGURES, figure_of
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.plot import check_name

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


def plot(
    figure: str,
    *archives: AnyPath,
    output: AnyPath | None = None,
    step: lists.Integers | None = None,
    layer: lists.Integers | None = None,
    matrices: lists.Words | None = None,
    measure: str | None = None,
    statistic: lists.Words | None = None,
    align: str = "loss",
    loss: str | None = None,
    at: float | None = None,
    style: str = "paper",
    width: float | None = None,
    overwrite: bool = False,
) -> DrawnFigure:
    """A figure of one or more archives: its panels, numbers and words; drawn where there is an output.

    A notebook shows the picture (where matplotlib is installed), and `print` its title and caption.

    Args:
        figure: `spectrum`, `trajectory`, `layers`, `gradients`, `weights`, `compare`, `phases`, `drift` or
            `forecast`.
        archives: archives, or the checkpoint folders that were scanned.
        output: a picture to write: .png, .svg or .pdf by its suffix.
        step, layer, matrices, statistic: only these.
        measure: of what: `activations`, `gradients`, `uncentred-gradients`, `weights` or `updates`.
        align: what to make equal between runs: `loss`, `step` or `tokens`; loss: which, as in `compare`; at:
            where, instead of the last common point.
        style: `paper`, `slides` or `dark`; width: of the page, in inches.
        overwrite: replace what is there.

    Raises:
        UsageError: there is no such figure, style or place, or the output cannot be written to.
        SpectraError: the archives do not hold what the figure shows.
    """
    check_name(figure)
    request = request_of(
        archives,
        step=step,
        layer=layer,
        matrices=matrices,
        measure=measure,
        statistic=statistic,
        align=align,
        loss=loss,
        at=at,
    )
    path = None if output is None else Path(output)
    suffix = "" if path is None else suffix_of(path, None)
    if path is not None:
        check_target(path, "-o", overwrite=overwrite)
    made = with_drawing(figure_of(figure, request), style=style, width=width)
    if path is not None:
        content = drawn(made, suffix, style=style, width=width)
        with whole_file(path, "-o", overwrite=overwrite) as stream:
            stream.write(content)
    return made


def request_of(
    archives: Sequence[AnyPath | Run],
    *,
    step: lists.Integers | None,
    layer: lists.Integers | None,
    matrices: lists.Words | None,
    measure: str | None,
    statistic: lists.Words | None,
    align: str,
    loss: str | None,
    at: float | None,
) -> PlotRequest:
    """What is asked of a figure, in the words of `plot`.

    Raises:
        UsageError: no archives, or a word that means nothing.
    """
    if not archives:
        raise UsageError("of which archives? Give their paths, or the folders that were scanned")
    if measure is not None and measure not in ASKED:
        meant = did_you_mean(measure, ASKED)
        raise UnknownNameError(f"--measure {measure}{meant}: expected one of {', '.join(ASKED)}")
    return PlotRequest(
        runs=tuple(archives),
        steps=lists.ranges(step, "--step"),
        layers=lists.integers(layer, "--layer"),
        matrices=lists.words(matrices),
        measurement=None if measure is None else ASKED[measure],
        statistics=lists.words(statistic),
        align=lists.one_of(Axis, align, "--align"),
        loss=None if loss is None else lists.one_of(Loss, loss, "--loss"),
        at=at,
    )


class Plots:
    """The figures of one run, each drawn into axes of the user's own: `run.plot.spectrum(ax=ax)`."""

    def __init__(self, run: AnyPath | Run) -> None:
        self._run = run

    def __getattr__(self, figure: str) -> Callable[..., list[Artist]]:
        if figure not in FIGURES:
            known = [*self.__dir__()]
            meant = did_you_mean(figure, known)
            raise AttributeError(f"no figure is called {figure!r}{meant}; there are {', '.join(known)}")
        if FIGURES[figure].alone is None:
            raise AttributeError(f"{figure} is of several runs: spectra.plot({figure!r}, one, other)")

        def draw(
            ax: Axes,
            *,
            panel: int = 0,
            step: lists.Integers | None = None,
            layer: lists.Integers | None = None,
            matrices: lists.Words | None = None,
            measure: str | None = None,
            statistic: lists.Words | None = None,
            style: str = "paper",
            key: bool = True,
        ) -> list[Artist]:
            request = request_of(
                [self._run],
                step=step,
                layer=layer,
                matrices=matrices,
                measure=measure,
                statistic=statistic,
                align="loss",
                loss=None,
                at=None,
            )
            made = figure_of(figure, request)
            if not 0 <= panel < len(made.panels):
                raise UsageError(f"panel {panel}: {figure} has {len(made.panels)} panels here, from 0 on")
            return draw_into(ax, made.panels[panel], scale=made.scale, style=style, with_key=key)

        draw.__doc__ = (
            f"{FIGURES[figure].shows}\n\nDraws one panel into `ax` and returns what was drawn; the words are "
            f"those of `spectra.plot`. With `key`, a colour bar or a legend says what colours stand for."
        )
        return draw

    def __dir__(self) -> list[str]:
        return [name for name, kind in FIGURES.items() if kind.alone is not None]
