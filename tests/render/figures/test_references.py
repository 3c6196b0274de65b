"""Every figure against a committed picture of it: what moved is seen, what a font hints otherwise is not.

Both are made four times smaller, in grey. They may differ by 2 of 255 on average, and by 40 at any place;
SPECTRA_WRITE_GOLDEN=1 writes the pictures anew: look at them.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectra_cli.render.drawing.registry import drawn
from spectra_cli.render.figures.registry import FIGURES, figure_of
from spectra_cli.render.figures.request import PlotRequest

FOLDER = Path(__file__).parent / "references"
MEAN, LARGEST, SMALLER = 2.0, 40.0, 4
OF_TRAJECTORIES = ("phases", "layers", "trajectory")
STYLE_OF = {"compare": "dark", "layers": "slides"}


def grey(picture: Image.Image) -> np.ndarray:
    """Smaller, each cell the mean of those it is made of."""
    pixels = np.asarray(picture.convert("L"), dtype=np.float64)
    height, width = (side // SMALLER * SMALLER for side in pixels.shape)
    cells = pixels[:height, :width].reshape(height // SMALLER, SMALLER, width // SMALLER, SMALLER)
    return cells.mean((1, 3))


def apart(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """Mean and largest difference, of 255."""
    differences = np.abs(grey(one) - grey(other))
    return float(differences.mean()), float(differences.max())


@pytest.mark.parametrize("name", FIGURES)
def test_it_looks_as_its_reference(name, full, planted, reaching):
    runs = (planted if name in OF_TRAJECTORIES else full)[: 2 if name == "compare" else 1]
    runs = reaching[:6] if name == "forecast" else runs
    figure = figure_of(name, PlotRequest(runs=runs))
    content = drawn(
        figure, ".png", style=STYLE_OF.get(name, "paper"), width=3.3 if name == "spectrum" else None
    )
    picture = Image.open(io.BytesIO(content))
    reference = FOLDER / f"{name}.png"
    if os.environ.get("SPECTRA_WRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        picture.convert("RGB").quantize(160).save(reference, optimize=True)
    with Image.open(reference) as wanted:
        assert wanted.size == picture.size
        mean, largest = apart(picture, wanted)
    assert mean <= MEAN
    assert largest <= LARGEST


def test_a_line_that_moved_is_seen(full):
    figure = figure_of("weights", PlotRequest(runs=full[:1]))
    other = figure_of("weights", PlotRequest(runs=full[1:]))
    pictures = [Image.open(io.BytesIO(drawn(one, ".png", style="paper"))) for one in (figure, other)]
    assert pictures[0].size != pictures[1].size or apart(*pictures)[1] > LARGEST
