"""Every figure by its name. A new one is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from spectra_cli.core.errors import UsageError

if TYPE_CHECKING:
    from spectra_cli.render.figures.figure import Figure
    from spectra_cli.render.figures.request import PlotRequest

# field of a PlotRequest -> how a user asks for it
FLAGS: Mapping[str, str] = {
    "steps": "--step",
    "layers": "--layer",
    "matrices": "--matrices",
    "measurement": "--measure",
    "statistics": "--statistic",
    "align": "--align",
    "loss": "--loss",
    "at": "--at",
}
_PLACES = frozenset({"layers", "matrices"})
_MATCHED = frozenset({"align", "loss", "at"})
_OVER_TRAINING = frozenset({"steps", "measurement", "statistics"}) | _PLACES


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureKind:
    """A figure before anything is asked of it.

    Attributes:
        shows: a sentence.
        alone, together: which fields of a PlotRequest it heeds, of one run and of several; None where it is
            not of so many.
    """

    shows: str
    alone: Set[str] | None = None
    together: Set[str] | None = None


# the module of a figure's name holds `figure(request)`, imported when it is asked for
FIGURES: Mapping[str, FigureKind] = {
    "spectrum": FigureKind(
        shows="Eigenvalues against rank, with errors, fitted windows, and where they cannot be read.",
        alone=_OVER_TRAINING,
        together=_PLACES | _MATCHED | {"measurement", "statistics"},
    ),
    "trajectory": FigureKind(
        shows="Statistics over training, layer by layer or run by run.",
        alone=_OVER_TRAINING,
        together=_OVER_TRAINING,
    ),
    "layers": FigureKind(
        shows="A statistic of every layer over training.", alone=_OVER_TRAINING, together=_OVER_TRAINING
    ),
    "gradients": FigureKind(
        shows="Activations and gradients of one layer side by side; the noise scale over training.",
        alone=_PLACES | {"steps", "statistics"},
        together=_PLACES | _MATCHED | {"statistics"},
    ),
    "weights": FigureKind(
        shows="Singular values with the bulk of a random matrix and what lies outside; stable rank.",
        alone=_PLACES | {"steps"},
        together=_PLACES | _MATCHED,
    ),
    "compare": FigureKind(
        shows="What differs between runs at equal loss, place by place, in units of the noise floor.",
        together=_MATCHED | {"layers", "measurement", "statistics"},
    ),
    "phases": FigureKind(
        shows="Effective rank and exponent over tokens, cut at their turning points.",
        alone={"layers", "statistics"},
    ),
    "drift": FigureKind(
        shows="How far principal directions turned and spectra moved, matrix by matrix, against chance.",
        alone=_PLACES,
    ),
    "forecast": FigureKind(
        shows="The early spectrum against the tokens to a loss, with what it predicts.",
        together={"layers", "statistics", "loss", "at"},
    ),
}


def figure_of(name: str, request: PlotRequest) -> Figure:
    """The figure that a user asks for; `name` is a key of FIGURES.

    Raises:
        UsageError: it is not of so many runs, or does not heed what is asked for.
        SpectraError: the archives do not hold what it shows.
    """
    if unheeded := _unheeded(name, request):
        flags = [flag for field, flag in FLAGS.items() if field in _heeded(name, request)]
        raise UsageError(
            f"{_of_so_many(name, request)} takes no {FLAGS[unheeded[0]]}; it takes {', '.join(flags)}"
        )
    return cast("Figure", import_module(f"{__package__}.{name}").figure(request))


def narrowed(name: str, request: PlotRequest) -> tuple[PlotRequest, list[str]]:
    """What of a request a figure heeds, and how the rest was asked for.

    Raises:
        UsageError: it is not of so many runs.
    """
    unheeded = _unheeded(name, request)
    own: dict[str, Any] = {field.name: field.default for field in fields(request) if field.name in unheeded}
    return replace(request, **own), [FLAGS[field] for field in unheeded]


def _unheeded(name: str, request: PlotRequest) -> list[str]:
    defaults = {field.name: field.default for field in fields(request)}
    heeded = _heeded(name, request)
    return [one for one in FLAGS if one not in heeded and getattr(request, one) != defaults[one]]


def _heeded(name: str, request: PlotRequest) -> Set[str]:
    kind, alone = FIGURES[name], len(request.runs) == 1
    heeded = kind.alone if alone else kind.together
    if heeded is None:
        of = "two runs or more: give their archives" if alone else "one run: give one archive"
        raise UsageError(f"the figure {name} is of {of}")
    return heeded


def _of_so_many(name: str, request: PlotRequest) -> str:
    kind, alone = FIGURES[name], len(request.runs) == 1
    only = kind.alone is None or kind.together is None or kind.alone == kind.together
    return f"the figure {name}" + ("" if only else " of one run" if alone else " of several runs")
