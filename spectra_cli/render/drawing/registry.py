"""Who draws a figure for which kind of file. A further drawing library is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spectra_cli.core.errors import MissingExtraError, UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.render.drawing.style import STYLES, Style

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from spectra_cli.render.figures.figure import Figure, Panel, Scale

# suffix -> module of this room, which is imported when it is to draw, and has `picture`
DRAWN_BY: Mapping[str, str] = {".png": "matplotlib", ".svg": "matplotlib", ".pdf": "matplotlib"}
KINDS = tuple(suffix[1:] for suffix in DRAWN_BY)
_NARROWEST, _WIDEST = 2.5, 40.0  # inches


def suffix_of(path: Path | None, word: str | None) -> str:
    """The kind of file that is asked for, by its suffix or by a word such as `svg`.

    Raises:
        UsageError: neither names one that can be drawn, or they contradict each other.
    """
    known = ", ".join(KINDS)
    if word is not None and f".{word}" not in DRAWN_BY:
        raise UnknownNameError(f"--format {word}{did_you_mean(word, KINDS)}: expected one of {known}")
    if path is None:
        if word is None:
            raise UsageError(f"-o -: name the kind of picture with --format: {known}")
        return f".{word}"
    suffix = path.suffix.lower()
    if suffix not in DRAWN_BY:
        meant = did_you_mean(suffix, DRAWN_BY) if suffix else ""
        raise UnknownNameError(f"-o {path}{meant}: a picture ends in one of {', '.join(DRAWN_BY)}")
    if word is not None and suffix != f".{word}":
        raise UsageError(f"-o {path} contradicts --format {word}; give one of them")
    return suffix


def drawn(figure: Figure, suffix: str, *, style: str, width: float | None = None) -> bytes:
    """The bytes of a picture of a figure.

    Args:
        suffix: a key of DRAWN_BY; style: a key of STYLES.
        width: in inches; None for the style's.

    Raises:
        UsageError: there is no such style, no such width, or the drawing library is not installed.
    """
    if width is not None and not _NARROWEST <= width <= _WIDEST:
        raise UsageError(f"--width {width:g}: expected {_NARROWEST:g} to {_WIDEST:g} inches")
    renderer = _imported(DRAWN_BY[suffix])
    return cast("bytes", renderer.picture(figure, _style(style), suffix, width=width))


def draw_into(
    ax: Axes, panel: Panel, *, scale: Scale | None, style: str, with_key: bool = True
) -> list[Artist]:
    """Draw a panel into axes of the caller's own; returns what was drawn of the data.

    Args:
        scale: of the shades of its figure; with_key: whether a bar or a legend says what colours stand for.

    Raises:
        UsageError: there is no such style, or matplotlib is not installed.
    """
    drawn = cast("list[Artist]", _imported("panels").draw_panel(panel, ax, _style(style)))
    if with_key:
        _imported("keys").draw_key(panel, scale, ax, _style(style))
    return drawn


def _style(name: str) -> Style:
    if name not in STYLES:
        raise UnknownNameError(
            f"--style {name}{did_you_mean(name, STYLES)}: expected one of {', '.join(STYLES)}"
        )
    return STYLES[name]


def _imported(module: str) -> ModuleType:
    try:
        return import_module(f"{__package__}.{module}")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError(
            "pictures are drawn by matplotlib, which is not installed: pip install 'llm-spectra[plot]'"
        ) from None
