"""Pictures of archives: one figure, or the set of all with an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from spectra_cli.core.errors import DataError, UnknownNameError, UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.render.drawing.characters import chart
from spectra_cli.render.drawing.registry import drawn
from spectra_cli.render.exports.whole_file import check_target, whole_file
from spectra_cli.render.figures.figure import Panel, Scale
from spectra_cli.render.figures.registry import FIGURES, FLAGS, figure_of, narrowed
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.output import Output
from spectra_cli.render.table import Drawing, Line, Part, Table, key, line, words
from spectra_cli.render.text.neutral import for_markdown

INDEX = "index.md"
_CHART_HEIGHT = 20  # lines: a chart and its caption stand on a terminal of 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One figure of a set.

    Attributes:
        name: of the figure; title and caption: its words.
        content: the bytes of its file; empty where it could not be made.
        unheeded: what was asked of the whole set and is not for this figure.
        reason: why not.
    """

    name: str
    title: str = ""
    caption: str = ""
    content: bytes = b""
    reason: str = ""
    unheeded: Sequence[str] = ()


def check_name(name: str) -> None:
    """Check that a figure is called so.

    Raises:
        UsageError: none is.
    """
    if name not in FIGURES:
        known = ", ".join(FIGURES)
        raise UnknownNameError(f"no figure is called {name!r}{did_you_mean(name, FIGURES)}. Known: {known}")


def pictures(request: PlotRequest, suffix: str, *, style: str, width: float | None) -> Iterator[Picture]:
    """Every figure in turn; one that the archives do not hold the numbers for says why.

    Raises:
        SpectraError: an archive is not there, or damaged.
    """
    request.opened()
    for name in FIGURES:
        try:
            own, unheeded = narrowed(name, request)
            figure = figure_of(name, own)
        except (UsageError, DataError) as error:
            yield Picture(name=name, reason=str(error))
            continue
        content = drawn(figure, suffix, style=style, width=width)
        yield Picture(name=name, title=figure.title, caption=figure.words, content=content, unheeded=unheeded)


def write_set(found: Iterable[Picture], folder: Path, suffix: str, *, overwrite: bool) -> list[Picture]:
    """Write pictures and their index into a folder.

    Raises:
        UsageError: one is there already, or the folder cannot be.
        DataError: one cannot be written; with those that are.
    """
    targets = [folder / f"{name}{suffix}" for name in FIGURES]
    for path in [folder / INDEX, *targets]:
        check_target(path, "-o", overwrite=overwrite)
    made: list[Picture] = []
    for one in found:
        target = folder / f"{one.name}{suffix}"
        if one.content:
            _write(target, one.content, made, overwrite=overwrite)
        else:
            target.unlink(missing_ok=True)  # of an earlier set, which this one replaces
        made.append(one)
    _write(folder / INDEX, index(made, suffix).encode(), made, overwrite=overwrite)
    return made


def _write(target: Path, content: bytes, before: Sequence[Picture], *, overwrite: bool) -> None:
    """Write a file of the set.

    Raises:
        DataError: it cannot be written; with what of the set was, before it.
    """
    try:
        with whole_file(target, "-o", overwrite=overwrite) as stream:
            stream.write(content)
    except DataError as error:
        written = [one.name for one in before if one.content]
        told = (
            f"Written before it: {', '.join(written)}; then add --overwrite"
            if written
            else "Nothing else was"
        )
        raise DataError(f"{error} {told}. The set has no {INDEX} of its own") from error


def index(found: Iterable[Picture], suffix: str) -> str:
    """A page of all pictures, with their titles and captions, and of what could not be drawn."""
    parts = ["# Figures"]
    for one in found:
        head = f"## {one.name}\n\n{FIGURES[one.name].shows}"
        if one.content:
            text = f"**{for_markdown(one.title)}**\n\n{for_markdown(one.caption)}"
            unheeded = f"\n\nNot heeded here: {', '.join(one.unheeded)}." if one.unheeded else ""
            parts.append(f"{head}\n\n![{one.name}]({one.name}{suffix})\n\n{text}{unheeded}")
        else:
            parts.append(f"{head}\n\nNot drawn: {for_markdown(one.reason)}")
    return "\n\n".join(parts) + "\n"


def said_of(made: Sequence[Picture], folder: Path) -> list[str]:
    """What was written, and what could not be drawn and why."""
    num = sum(bool(one.content) for one in made)
    told = [f"{folder / INDEX}: {num} of {len(made)} figures"]
    without = {flag: [one.name for one in made if flag in one.unheeded] for flag in FLAGS.values()}
    told += [f"{flag} is not heeded by {', '.join(names)}" for flag, names in without.items() if names]
    return told + [f"{one.name} is not drawn: {one.reason}" for one in made if not one.content]


def listing() -> Output:
    """The figures that there are."""
    rows = [{"figure": name, "shows": kind.shows} for name, kind in FIGURES.items()]
    table = Table(
        title="Figures",
        columns=(key("figure"), words("shows")),
        rows=[list(row.values()) for row in rows],
    )
    return Output(
        tables=lambda: [table],
        document=lambda: {"figures": rows},
        columns=("figure", "shows"),
        rows=lambda: rows,
    )


def drawings(
    archive: AnyPath, output: Output, *, step: str | None, layer: str | None, statistic: str | None
) -> Output:
    """An output with figures in characters for its tables: spectra of the last layer, then trajectories.

    Args:
        step, layer, statistic: as the user gave them to `show`.

    Raises:
        SpectraError: the archive does not hold what is asked for.
    """
    request = PlotRequest(
        runs=(archive,),
        steps=lists.ranges(step, "--step"),
        layers=lists.integers(layer, "--layer"),
        statistics=lists.words(statistic),
    )
    figures = [figure_of("spectrum", replace(request, statistics=None)), figure_of("trajectory", request)]
    parts: list[Part] = []
    for figure in figures:
        parts.append(line(figure.title, style="bold"))
        parts += [
            Drawing(
                draw=partial(_chart, panel, figure.scale, plain=False),
                draw_plain=partial(_chart, panel, figure.scale, plain=True),
            )
            for panel in (figure.panels[-1:] if figure.name == "spectrum" else figure.panels)
        ]
        parts += [line(sentence, style="dim") for sentence in figure.caption]
    return replace(output, tables=lambda: parts)


def _chart(panel: Panel, scale: Scale | None, width: int, *, plain: bool) -> list[Line]:
    return chart(panel, scale, width=width, height=_CHART_HEIGHT, plain=plain)
