"""Every figure of archives that are hard to draw: drawn with its reasons, or refused in words."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import SpectraError
from spectra_cli.core.types import Scalar, Status
from spectra_cli.render.drawing.registry import drawn
from spectra_cli.render.figures.figure import Figure, Symbol
from spectra_cli.render.figures.registry import FIGURES, figure_of
from spectra_cli.render.figures.request import PlotRequest
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum

SITES = ("activation_covariance", "blocks.0.resid_post"), ("gradient_covariance", "blocks.0.attn.o")
SHAPES = {
    "of one checkpoint": (1, lambda step: np.arange(64, 0, -1.0)),
    "that are all zero": (4, lambda step: np.zeros(64)),
    "zero at the start": (4, lambda step: np.arange(64, 0, -1.0) * (step > 0)),
    "of a handful of values": (4, lambda step: np.array([3.0, 2.0, 1.0]) + step),
    "of one value": (4, lambda step: np.array([1.0 + step])),
    "of huge values": (4, lambda step: np.arange(64, 0, -1.0) * 1e160),
    "but not at first": (4, lambda step: np.arange(64, 0, -1.0)),
    "but not at last": (4, lambda step: np.arange(64, 0, -1.0)),
    "without a step": (1, lambda step: np.arange(64, 0, -1.0)),
}


MUST_BE_DRAWN = ("zero at the start",)
MAY_BE_REFUSED = ("phases", "forecast")  # they need a tail exponent of most checkpoints


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Name of a kind -> archives of two runs of it."""
    folder, made = tmp_path_factory.mktemp("hard"), {}
    for kind, (number, values) in SHAPES.items():
        made[kind] = tuple(folder / f"{name} {kind}.spectra.h5" for name in "ab")
        for place, path in enumerate(made[kind]):
            write_archive(path, [_checkpoint(step, values, kind, place) for step in range(number)])
    return made


def _checkpoint(step, values, kind, place):
    """One of a kind; of some kinds a checkpoint without any spectra."""
    loss = Scalar(
        name="probe_loss", site=None, measurement="probe", value=4.0 - 0.5 * step - 0.1 * place, unit=""
    )
    broken = Scalar(
        name="gradient_signal",
        site=None,
        measurement="gradient_covariance",
        value=np.nan,
        unit="",
        status=Status.NONFINITE,
    )
    spectra = [spectrum(values(step), *place) for place in (*SITES, ("weight", "blocks.0.attn.o"))]
    if (kind, step) in (("but not at first", 0), ("but not at last", 3)):
        spectra = []
    known = None if kind == "without a step" else step
    return checkpoint(
        spectra, [loss, broken], step=known, uri=f"/{place}/{step}", digest=f"{place}-{step}-{kind}"
    )


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("kind", SHAPES)
def test_it_is_drawn_with_its_reasons_or_refused_in_words(archives, kind, name):
    figures = []
    for number in (1, 2):
        with suppress(SpectraError):
            figures.append(figure_of(name, PlotRequest(runs=archives[kind][:number])))
    for figure in figures:
        _check(figure)
    assert figures or name in MAY_BE_REFUSED or kind not in MUST_BE_DRAWN
    for figure in figures[-1:] if kind in MUST_BE_DRAWN else ():
        assert drawn(figure, ".svg", style="paper", width=3.3)


def _check(figure: Figure) -> None:
    assert figure.panels
    assert figure.title
    withheld = False
    for panel in figure.panels:
        withheld |= any(mark.symbol is Symbol.WITHHELD for mark in panel.marks)
        for series in panel.series:
            assert not np.isinf(series.y).any()
            assert not (panel.y.log and (series.y <= 0).any())
        if panel.cells is not None:
            withheld |= bool((panel.cells.reasons != "").any())
            assert not np.isinf(panel.cells.values).any()
    caption = " ".join(figure.caption)
    assert not withheld or any(word in caption for word in ("Withheld", "Hatched", "not reached"))
