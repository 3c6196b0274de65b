"""Rotation and spectral shift of every matrix over training, against chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from spectra_cli.analysis.drift.change import ChangeReading
from spectra_cli.analysis.drift.over_series import FIRST, DriftReport, drift_of
from spectra_cli.analysis.drift.pairs import CheckpointPair, RankDrift, SiteDrift
from spectra_cli.core.types import FloatArray
from spectra_cli.core.words.places import place_words
from spectra_cli.core.words.plurals import counted
from spectra_cli.render.figures.figure import Axis, Cells, Figure, Panel, Scale
from spectra_cli.render.figures.layers import NOT_MEASURED, scale_of
from spectra_cli.render.figures.parts.drawn_signs import signs_in
from spectra_cli.render.figures.request import PlotRequest

_STEP = "step"  # what names of checkpoints begin with whose step is known
SIGNS = {ChangeReading.ON: "+", ChangeReading.OFF: "-"}
_TURNED = (
    "Turned: mean squared sine between leading subspaces, 1 where they are as far apart as two random ones."
)


def figure(request: PlotRequest) -> Figure:
    """How far each matrix turned and its spectrum moved since the first checkpoint; one run at a time.

    Raises:
        SpectraError: the archive holds no series of weights.
    """
    (run,) = request.opened()
    return figure_of_drift(run.name, drift_of(run.series, against=(FIRST,)), request)


def figure_of_drift(name: str, report: DriftReport, request: PlotRequest) -> Figure:
    """The drift of a run that was found already, since its first checkpoint."""
    pairs = report.against(FIRST)
    rows = list(dict.fromkeys(_row(one) for pair in pairs for one in pair.sites if _wanted(one, request)))
    panels = []
    if report.ranks:
        rank = report.ranks[0]
        panels.append(
            _panel(
                f"turned, first {rank} directions",
                "share of chance",
                pairs,
                rows,
                lambda one: _turned(one.ranks[0]) if one.ranks else np.nan,
                "no vectors were kept of it",
                Scale(label="turned / chance", low=0.0, high=1.0),
                signs=True,
            )
        )
    panels.append(
        _panel(
            "change of the spectrum",
            "share of its norm",
            pairs,
            rows,
            lambda one: one.shift,
            "the first spectrum is zero",
        )
    )
    moved = "directions turned and spectra moved" if report.ranks else "spectra moved"
    return Figure(
        name="drift",
        title=f"{name}: how far {moved} since {pairs[0].before}",
        panels=tuple(panels),
        caption=(
            *(_turned_words(panels) if report.ranks else []),
            "Change of the spectrum: norm of the difference of singular values over their norm.",
            *_why_hatched(panels),
            *(f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in report.notices),
        ),
    )


def _turned_words(panels: Sequence[Panel]) -> list[str]:
    """What shades and signs of turned directions are, of those that are drawn."""
    signs = signs_in(panels)
    told = [
        *(["+ rotates the principals"] * ("+" in signs)),
        *(["- stays off them" if "+" in signs else "- stays off the principals"] * ("-" in signs)),
    ]
    judged = f"{', '.join(told)}, by all evidence against a random change; no sign" if told else "No sign"
    return [_TURNED, f"{judged}: undecided, or nothing to judge by."]


def _why_hatched(panels: Sequence[Panel]) -> list[str]:
    """Every reason for a cell without a number, and how many cells have it."""
    reasons = Counter(
        str(one) for panel in panels if panel.cells is not None for one in panel.cells.reasons.ravel() if one
    )
    told = [f"{reason} ({counted(number, 'cell')})" for reason, number in reasons.most_common()]
    return [f"Hatched: {'; '.join(told)}."] if told else []


def _wanted(one: SiteDrift, request: PlotRequest) -> bool:
    return (request.layers is None or one.site.layer in request.layers) and (
        request.matrices is None or one.site.component in request.matrices
    )


def _row(one: SiteDrift) -> str:
    return place_words(one.measurement, one.site)


def _turned(drifted: RankDrift) -> float:
    """Mean over the sides of `1 - O_k` over what two random subspaces have."""
    return float(np.mean([side.turned / (1.0 - side.chance) for side in drifted.sides if side.chance < 1]))


def _panel(
    title: str,
    unit: str,
    pairs: Sequence[CheckpointPair],
    rows: Sequence[str],
    number: Callable[[SiteDrift], float],
    why_not: str,
    scale: Scale | None = None,
    *,
    signs: bool = False,
) -> Panel:
    values: FloatArray = np.full((len(rows), len(pairs)), np.nan)
    reasons = np.full(values.shape, NOT_MEASURED, dtype="<U200")
    marks = np.full(values.shape, "", dtype="<U1")
    for column, pair in enumerate(pairs):
        for one in pair.sites:
            if _row(one) not in rows:
                continue
            row = rows.index(_row(one))
            values[row, column] = number(one)
            reasons[row, column] = "" if np.isfinite(values[row, column]) else why_not
            reading = one.ranks[0].reading if one.ranks else None
            marks[row, column] = "" if reading is None else SIGNS.get(reading, "")
    return Panel(
        title=title,
        x=Axis(label="step" if all(one.after.startswith(_STEP) for one in pairs) else "checkpoint"),
        y=Axis(label=""),
        wide=True,
        cells=Cells(
            rows=tuple(rows),
            columns=tuple(pair.after.removeprefix(_STEP) for pair in pairs),
            values=values,
            reasons=reasons,
            signs=marks if signs else None,
            scale=scale or scale_of(values, unit),
        ),
    )
