"""Every figure by its name. A new one is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from spectra_cli.render.figures.figure import Figure
    from spectra_cli.render.figures.request import PlotRequest

# name -> what it shows; the module of that name holds `figure(request)`, imported when it is asked for
FIGURES: Mapping[str, str] = {
    "spectrum": "Eigenvalues against rank, with errors, fitted windows, and where they cannot be read.",
    "trajectory": "Statistics over training, layer by layer or run by run.",
    "layers": "A statistic of every layer over training.",
    "gradients": "Activations and gradients of one layer side by side; the noise scale over training.",
    "weights": "Singular values with the bulk of a random matrix and what lies outside; stable rank.",
    "compare": "What differs between runs at equal loss, place by place, in units of the noise floor.",
    "phases": "Effective rank and exponent over tokens, cut at their turning points.",
    "drift": "How far principal directions turned and spectra moved, matrix by matrix, against chance.",
    "forecast": "The early spectrum against the tokens to a loss, with what it predicts.",
}


def figure_of(name: str, request: PlotRequest) -> Figure:
    """The figure that a user asks for; `name` is a key of FIGURES.

    Raises:
        SpectraError: the archives do not hold what it shows.
    """
    return cast("Figure", import_module(f"{__package__}.{name}").figure(request))
