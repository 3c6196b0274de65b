"""Every statistic and every measurement has its page, and the numbers there are those of its samples."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from docs import statistic_pages as pages
from docs.finite_samples import figures, known
from docs.finite_samples.experiments import EXPERIMENTS
from docs.sections import section_of
from spectra_cli.core.measurements import ACTIVATIONS, MEASUREMENTS, PROBED
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from tests.builders.spectra import spectrum_of_rows

SECTIONS = ["What moves it", "What it cannot tell", "Finite samples"]
NAMED = [("statistics", name) for name in DEFINITIONS] + [("measurements", name) for name in MEASUREMENTS]
# processors round otherwise, and a draw of few samples carries that on
ROUNDING = 0.002


@pytest.mark.parametrize(("kind", "registry"), [("statistics", DEFINITIONS), ("measurements", MEASUREMENTS)])
def test_each_has_a_page_and_no_page_is_of_nothing(kind, registry):
    assert {path.stem for path in (pages.REFERENCE / kind).iterdir()} == set(registry)


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_a_page_says_what_it_is_what_moves_it_and_what_it_cannot_tell(kind, name):
    page = pages.page_of(kind, name).read_text()
    headings = {
        "statistics": lambda: pages.heading(DEFINITIONS[name]),
        "measurements": lambda: pages.heading_of_measurement(MEASUREMENTS[name]),
    }
    assert page.splitlines()[0] == headings[kind]()
    assert "\n```text\n" in page.partition("\n## ")[0]
    parts = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    assert parts[1::2] == SECTIONS
    assert all(part.strip().startswith("- ") for part in parts[2:-1:2])


def test_what_is_made_of_samples_has_a_figure():
    sampled = {name for name, one in STATISTICS.items() if set(one.measurements) & set(PROBED)}
    assert sampled < EXPERIMENTS.keys() <= DEFINITIONS.keys()
    for name in DEFINITIONS:
        part = pages.page_of("statistics", name).read_text().partition("## Finite samples")[2]
        assert (f"(../../pictures/statistics/{name}.svg)" in part) is (name in EXPERIMENTS)
        assert name in EXPERIMENTS or part.strip().startswith("None: ")
    for name in MEASUREMENTS:
        page = pages.page_of("measurements", name).read_text()
        assert (f"(../../pictures/statistics/{name}.svg)" in page) is (name in figures.SPECTRA)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_numbers_of_a_page_are_those_of_its_samples(name):
    """The first row of each table is made anew, and all truths; the others are made by the same lines."""
    section = section_of(pages.page_of("statistics", name).read_text(), "finite samples")
    tables = re.findall(r"((?:^\|.*\n)+)", section, re.MULTILINE)
    experiments = EXPERIMENTS[name]()
    assert len(tables) == len(experiments)
    for table, experiment in zip(tables, experiments, strict=True):
        header, _, first, *others = table.splitlines()
        assert 1 + len(others) == len(experiment.samples)
        truths = re.findall(r"truth ([\d.]+)", header)
        known_truths = [f"{curve.value:.4g}" for curve in experiment.curves]
        assert truths == ([] if experiment.shown else known_truths)
        _, samples, *cells, _ = (cell.strip() for cell in first.split("|"))
        assert float(samples) == experiment.samples[0]
        for shown, curve in zip(cells, experiment.curves, strict=True):
            now = figures.cell(experiment, curve, experiment.samples[0])
            assert abs(float(shown.split()[0]) - float(now.split()[0])) <= ROUNDING
            assert shown.split()[1:] == now.split()[1:]


def test_rows_that_are_not_drawn_have_the_distribution_of_those_that_are():
    """Bartlett's decomposition against the covariance of rows, above and below as many rows as dimensions."""
    width, num_draws = 12, 300
    rng = np.random.default_rng(0)
    for rows_per_dimension in (0.5, 4.0):
        drawn = [
            known.activations(width, 1.0, rows_per_dimension, draw).values[:5] for draw in range(num_draws)
        ]
        rows = rng.standard_normal((num_draws, round(rows_per_dimension * width), width))
        rows *= np.sqrt(known.power_law(width, 1.0))
        direct = [spectrum_of_rows(each, block_sizes=(len(each),)).values[:5] for each in rows]
        apart = np.mean(drawn, axis=0) - np.mean(direct, axis=0)
        spread = np.sqrt((np.var(drawn, axis=0) + np.var(direct, axis=0)) / num_draws)
        assert (np.abs(apart) < 4 * spread).all()


@pytest.mark.parametrize("picture", sorted(pages.PICTURES.iterdir()), ids=lambda path: path.stem)
def test_a_figure_is_small_and_loads_nothing(picture: Path):
    content = picture.read_bytes()
    assert len(content) < 50_000
    root = ElementTree.fromstring(content)  # noqa: S314 - a file of the repository
    assert root[0].text is not None
    assert root[0].text.startswith(picture.stem)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"script", "image", "foreignObject", "a"}
    links = [value for element in root.iter() for name, value in element.items() if name.endswith("href")]
    assert all(link.startswith("#") for link in links)


def test_a_figure_is_the_same_bytes_each_time():
    assert {path.stem for path in pages.PICTURES.iterdir()} == {*EXPERIMENTS, *figures.SPECTRA}
    assert figures.picture_of_spectra(ACTIVATIONS) == figures.picture_of_spectra(ACTIVATIONS)
