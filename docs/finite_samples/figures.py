"""The figure and the table of a statistic: the median of the draws, with their quartiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from docs.finite_samples import known
from docs.finite_samples.experiments import EXPERIMENTS, WIDTH, Curve, Experiment
from docs.finite_samples.known import NUM_PARAMETERS, power_law
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENTS
from spectra_cli.core.types import FloatArray
from spectra_cli.render.drawing.registry import drawn
from spectra_cli.render.figures.figure import (
    MUTED,
    Axis,
    Figure,
    Ink,
    Look,
    Panel,
    Rule,
    Series,
    Window,
    WindowKind,
)
from spectra_cli.statistics.registry import DEFINITIONS


def picture(name: str) -> bytes:
    """The figure of a statistic as SVG; the same bytes each time."""
    return drawn(figure(name, EXPERIMENTS[name]()), ".svg", style="paper")


def figure(name: str, experiments: Sequence[Experiment]) -> Figure:
    """What is drawn of the experiments, a panel each."""
    draws = " and ".join(str(one.draws) for one in experiments)
    return Figure(
        name=name,
        title=f"{name}: what few samples make of it",
        panels=tuple(map(_panel, experiments)),
        columns=len(experiments),
        caption=(f"Samples of known spectra, {draws} draws each; lines: medians, bands: quartiles.",),
    )


def _panel(experiment: Experiment) -> Panel:
    low, withheld = experiment.samples[0], experiment.withheld_below
    windows = [Window(low=low, high=withheld, label="withheld", kind=WindowKind.UNREADABLE)]
    return Panel(
        title=experiment.title,
        x=Axis(label=experiment.over, log=True),
        y=Axis(label=_against(experiment), log=experiment.is_ratio),
        series=tuple(_series(experiment, curve, n) for n, curve in enumerate(experiment.curves)),
        windows=windows if withheld else (),
        rules=(Rule(at=float(experiment.is_ratio), label="", vertical=False),),
    )


def _against(experiment: Experiment) -> str:
    return experiment.shown or ("estimate / truth" if experiment.is_ratio else "estimate − truth")


def _series(experiment: Experiment, curve: Curve, place: int) -> Series:
    found = [_quartiles(experiment.tried(curve, samples)) for samples in experiment.samples]
    low, middle, high = np.array(found).T
    return Series(
        x=np.array(experiment.samples),
        y=middle,
        low=low,
        high=high,
        ink=Ink(category=place),
        look=Look.LINE,
        label=curve.label,
    )


def _quartiles(tried: FloatArray) -> FloatArray:
    """(3,) of the draws that have a value."""
    quartiles: FloatArray = np.nanquantile(tried, (0.25, 0.5, 0.75))
    return quartiles


def table(experiment: Experiment) -> str:
    """The medians as a table of Markdown, a row a number of samples."""
    shown = [
        [f"{samples:g}", *(cell(experiment, curve, samples) for curve in experiment.curves)]
        for samples in experiment.samples
    ]
    truths = ["" if experiment.shown else f" (truth {curve.value:.4g})" for curve in experiment.curves]
    heads = [curve.label + truth for curve, truth in zip(experiment.curves, truths, strict=True)]
    lines = [[experiment.over, *heads], ["---"] * (1 + len(heads)), *shown]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(experiment: Experiment, curve: Curve, samples: float) -> str:
    """The median, and how often there is no value."""
    tried = experiment.tried(curve, samples)
    median, none = float(np.nanmedian(tried)), float(np.isnan(tried).mean())
    shown = f"{median:.3f}" if experiment.is_ratio or abs(median) < 0.0005 else f"{median:+.3f}"
    shown = shown.removeprefix("-") if float(shown) == 0 else shown
    return f"{shown} (no value in {100 * none:.0f} %)" if none else shown


def section(name: str) -> str:
    """What the page of a statistic shows of its finite samples: the figure, then a table a panel."""
    alt = f"{DEFINITIONS[name].title}: estimates from few samples against the truth"
    tables = [
        f"{one.title[:1].upper()}{one.title[1:]}, {_against(one)}:\n\n{table(one)}"
        for one in EXPERIMENTS[name]()
    ]
    return f"![{alt}](../../pictures/statistics/{name}.svg)\n\n" + "\n".join(tables)


# measurement -> exponent of the truth, and numbers of samples
SPECTRA: Mapping[str, tuple[float, tuple[float, ...]]] = {
    ACTIVATIONS: (1.0, (0.5, 1.0, 4.0, 16.0, 64.0)),
    GRADIENTS: (1.0, (64.0, 256.0, 1024.0)),
}


def picture_of_spectra(measurement: str) -> bytes:
    """Eigenvalues of samples beside those of the truth, as SVG."""
    exponent, sizes = SPECTRA[measurement]
    of_rows = measurement == ACTIVATIONS
    truth = power_law(WIDTH if of_rows else NUM_PARAMETERS, exponent)
    drawn_of = {
        size: known.activations(WIDTH, exponent, size, 0)
        if of_rows
        else known.gradients(exponent, round(size), 0).spectra[0]
        for size in sizes
    }
    what = f"rows per dimension, width {WIDTH}" if of_rows else f"sequences, {NUM_PARAMETERS} parameters"
    lines = [
        _line(one.values[one.values > one.zero_threshold], n, f"{size:g}")
        for n, (size, one) in enumerate(drawn_of.items())
    ]
    truly = Series(
        x=1.0 + _spread(truth.size),
        y=truth[_spread(truth.size)],
        ink=MUTED,
        look=Look.DASHED,
        label="truth",
    )
    panel = Panel(
        title="",
        x=Axis(label="rank", log=True),
        y=Axis(label="eigenvalue", log=True, low=truth[-1] / (30 if of_rows else 2)),
        series=[*lines, truly],
    )
    return drawn(
        Figure(
            name=measurement,
            title=f"{measurement}: eigenvalues of few samples",
            panels=(panel,),
            caption=(f"One draw each; the numbers are {what}.",),
        ),
        ".svg",
        style="paper",
    )


def _line(values: FloatArray, place: int, label: str) -> Series:
    kept = _spread(values.size)
    return Series(x=1.0 + kept, y=values[kept], ink=Ink(category=place), label=label)


def _spread(size: int) -> NDArray[np.intp]:
    """Places of some forty ranks, even in their logarithm as far as there are such; both ends among them."""
    return np.unique(np.geomspace(1, size, 40).round().astype(int)) - 1
