"""A comparison as a matrix of places and statistics, and the spectra that differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectra_cli.analysis.compare.decisions import FALSE_DISCOVERY_RATE, Verdict
from spectra_cli.analysis.compare.differences import Choice, SiteDifference
from spectra_cli.analysis.compare.quantities import described, statistic_words
from spectra_cli.analysis.comparison import ComparedPair, CompareRequest, Comparison
from spectra_cli.core.measurements import ACTIVATIONS, EXACT
from spectra_cli.core.types import Spectrum
from spectra_cli.core.words.numbers import target_words
from spectra_cli.core.words.places import place_words
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.render.figures.figure import Axis, Cells, Figure, Panel, Scale
from spectra_cli.render.figures.parts.captions import archive_words, error_words, measured_words
from spectra_cli.render.figures.parts.drawn_signs import has_blank_cells, has_hatched_cells, signs_in
from spectra_cli.render.figures.parts.lines import Lines, lines_of
from spectra_cli.render.figures.parts.spectra_panel import captions_of, panel_of
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.workflows.compare import compare

_MOST_PAIRS = 4
_STRONGEST = 2
_LARGEST = 10.0  # noise floors at the end of the scale, at most
_BETWEEN = "The matrix is interpolated to the point itself."
_SHADES = (
    "Shade: the difference over its noise floor, which is what two probes of this size may show: of a number "
    "one standard error"
)
_DIFFERENT = (
    f"●: different, at least the floor and, by the error on this probe, beyond chance among all numbers "
    f"(false discovery rate {100 * FALSE_DISCOVERY_RATE:.0f} %)"
)
SIGNS = {Verdict.DIFFERENT: "●", Verdict.EQUAL: "=", Verdict.INCONCLUSIVE: ""}


def figure(request: PlotRequest) -> Figure:
    """The differences at the last matched point in units of the noise floor, with their verdicts.

    Raises:
        SpectraError: they cannot be compared.
    """
    found = compare(
        CompareRequest(
            runs=request.archives,
            axis=request.align,
            loss=request.loss,
            at=request.points,
            choice=Choice(
                measurements=None if request.measurement is None else (request.measurement,),
                statistics=request.statistics,
                layers=request.layers,
            ),
        )
    )
    return figure_of_comparison(found, request)


def figure_of_comparison(found: Comparison, request: PlotRequest) -> Figure:
    """A comparison that was made already, of what the request asks for."""
    target = found.alignment.points[-1].target
    matrices = [_matrix(found, pair, target) for pair in found.pairs[:_MOST_PAIRS]]
    lines = lines_of(request, found.runs)
    spectra = [panel_of(place, lines, None) for place in _strongest(found, lines, target)]
    names = " and ".join(run.name for run in found.runs)
    equal = "at" if found.alignment.is_matched else "nearest to"
    at = f"{equal} equal {found.alignment.axis} {target_words(target, found.alignment.axis.value)}"
    drawn = spectra[0].place.measurement if spectra else ACTIVATIONS
    left_out = len(found.pairs) - len(matrices)
    exact = any(one.measurement in EXACT for pair in found.pairs for one in pair.differences)
    return Figure(
        name="compare",
        title=f"{names}: what differs inside {at}",
        panels=(*matrices, *(one.panel for one in spectra)),
        columns=2,
        errors=error_words([one.panel for one in spectra], found.runs, drawn),
        caption=(
            *(line for pair in found.pairs for line in _sentences(pair)),
            *_shade_words(found),
            *_legend(matrices),
            *(["Weights have no noise, and so no place in the matrix."] if exact else []),
            *(_whose_words(lines.told) if spectra else []),
            *([_BETWEEN] if lines.only_near and spectra else []),
            measured_words(found.runs, drawn),
            *captions_of(spectra, lines, with_values=False),
            *([f"{counted(left_out, 'more pair')} {agreed(left_out)} not shown."] if left_out else []),
            *archive_words(found.runs),
        ),
    )


def _sentences(pair: ComparedPair) -> list[str]:
    """The strongest finding of a pair, and where the others are told."""
    strongest = pair.verdict[0].strip().rstrip(".:")
    others = " `spectra compare` tells the other findings." if len(pair.verdict) > 1 else ""
    error = " (± one standard error)" if "±" in strongest else ""
    return [f"{strongest[:1].upper()}{strongest[1:]}{error}.{others}"]


def _whose_words(told: Sequence[str]) -> list[str]:
    """Of which checkpoints the spectra are, and what is to be known of their alignment."""
    return [f"Spectra: {told[0][:1].lower()}{told[0][1:]}", *told[1:]]


def _legend(matrices: Sequence[Panel]) -> list[str]:
    """What signs are, of those that are drawn."""
    signs = signs_in(matrices)
    told = [
        *([_DIFFERENT] * ("●" in signs)),
        *(["=: equal within its margin"] * ("=" in signs)),
        "no sign: inconclusive",
    ]
    without = [
        *(["hatched: no number"] * has_hatched_cells(matrices)),
        *(["blank: not defined there"] * has_blank_cells(matrices)),
    ]
    cells = [one.cells for one in matrices if one.cells is not None]
    beyond = any(bool((np.abs(one.values) > one.scale.high).any()) for one in cells)
    sentences = [
        f"{first[:1].upper()}{first[1:]}." for first in filter(None, ("; ".join(told), "; ".join(without)))
    ]
    return [*sentences, *(["Shades end with the scale."] * beyond)]


def _shade_words(found: Comparison) -> list[str]:
    """In what the matrix is measured: by which of the two bounds, and what its short names stand for."""
    inexact = [one for pair in found.pairs for one in pair.differences if one.measurement not in EXACT]
    if not inexact:
        return []
    distances = dict.fromkeys(one.statistic for one in inexact if one.is_distance)
    named = ", ".join(dict.fromkeys(map(_named, distances)))
    of_distances = f"; of a distance, which has no sign, what equal models stay below in 95 % ({named})"
    return [f"{_SHADES}{of_distances if distances else ''}."]


def _named(statistic: str) -> str:
    """A distance by its head, with its words where they are others."""
    of, short = described(statistic), statistic_words(statistic)
    phrase = "" if of is None else of.phrase
    return short if phrase in ("", short) else f"{short}: {phrase}"


def _matrix(found: Comparison, pair: ComparedPair, target: float) -> Panel:
    here = [one for one in pair.differences if one.target == target and one.measurement not in EXACT]
    here.sort(key=lambda one: (one.measurement, -1 if one.site.layer is None else one.site.layer))
    rows = list(dict.fromkeys(_place(one) for one in here))
    columns = list(dict.fromkeys(one.statistic for one in sorted(here, key=lambda one: one.is_distance)))
    values = np.full((len(rows), len(columns)), np.nan)
    reasons = np.full(values.shape, "", dtype="<U400")
    signs = np.full(values.shape, "", dtype="<U1")
    for one in here:
        place = rows.index(_place(one)), columns.index(one.statistic)
        values[place] = in_floors(one)
        if np.isfinite(values[place]):
            signs[place] = SIGNS[one.found.verdict]
        else:
            reasons[place] = one.reason or "no noise floor"
    known = np.abs(values[np.isfinite(values)])
    end = float(min(_LARGEST, max(2.0, known.max(initial=0.0))))
    first, second = (found.runs[place].name for place in (pair.first, pair.second))
    return Panel(
        title=f"{second} minus {first}",
        wide=True,
        x=Axis(label=""),
        y=Axis(label=""),
        cells=Cells(
            rows=tuple(rows),
            columns=tuple(map(statistic_words, columns)),
            values=values,
            reasons=reasons,
            signs=signs,
            scale=Scale(label="difference / noise floor", low=-end, high=end, diverging=True),
        ),
    )


def in_floors(one: SiteDifference) -> float:
    """A difference in units of its noise floor; NaN where one of them is not known."""
    floor = one.found.floor
    return one.found.delta / floor if np.isfinite(floor) and floor > 0 else np.nan


def _place(one: SiteDifference) -> str:
    return place_words(one.measurement, one.site, one.other)


def _strongest(found: Comparison, lines: Lines, target: float) -> list[Spectrum]:
    """Where the runs differ most at the target: of each pair in turn, no place twice."""
    places: dict[tuple[str, str], Spectrum] = {}
    for pair in found.pairs:
        for one in pair.differences:
            if len(places) == _STRONGEST:
                break
            if one.target != target or one.measurement in EXACT or one.site != one.other:
                continue
            held = lines.shown[pair.first].checkpoint.select(one.measurement)
            spectrum = next((each for each in held if each.site == one.site), None)
            if spectrum is not None:
                places.setdefault((one.measurement, one.site.address), spectrum)
    return list(places.values())
