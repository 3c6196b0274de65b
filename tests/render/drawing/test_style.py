"""Colours that are told apart: by everybody, in grey, on their ground."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from spectra_cli.render.drawing.style import DASHES, STYLES, SYMBOLS

# G. Machado, M. Oliveira, L. Fernandes 2009, full severity, on linear RGB
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour: str) -> np.ndarray:
    coded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    share = TO_XYZ @ np.clip(light, 0, 1) / WHITE
    x, y, z = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    first, second = sorted(float(TO_XYZ[1] @ linear(each)) for each in (one, other))
    return (second + 0.05) / (first + 0.05)


@pytest.mark.parametrize("viewer", SEEN_BY)
@pytest.mark.parametrize("name", STYLES)
def test_every_pair_of_a_palette_differs(name, viewer):
    seen = [lab(np.array(SEEN_BY[viewer]) @ linear(colour)) for colour in STYLES[name].palette]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20


@pytest.mark.parametrize("name", STYLES)
def test_every_pair_differs_in_grey_and_from_the_ground(name):
    style = STYLES[name]
    lightness = [lab(linear(colour))[0] for colour in style.palette]
    assert min(abs(a - b) for a, b in combinations(lightness, 2)) > 5
    assert min(contrast(colour, style.ground) for colour in style.palette) >= 3
    assert contrast(style.ink, style.ground) >= 7
    assert contrast(style.muted, style.ground) >= 4.5


@pytest.mark.parametrize("name", STYLES)
def test_shades_grow_lighter_evenly(name):
    lightness = np.array([lab(linear(colour))[0] for colour in STYLES[name].shades])
    assert (np.diff(lightness) > 4).all()


def test_every_colour_has_a_dash_and_a_symbol_of_its_own():
    for style in STYLES.values():
        assert len(set(DASHES)) == len(set(SYMBOLS)) == len(set(style.palette)) == 6
