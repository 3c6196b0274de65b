from __future__ import annotations

import errno
import os
import re

import pytest

from spectra_cli.render.figures.registry import FIGURES


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_written_and_said(spectra, place, suffix):
    found = spectra("plot", "layers", "run", "-o", f"out/a.{suffix}", "--statistic", "rankme_cov")
    assert (found.code, found.out) == (0, "")
    assert found.err == f"out/a.{suffix}: run: activations of every layer over training\n"
    assert (place / "out" / f"a.{suffix}").stat().st_size > 1000


def test_the_set_has_an_index_of_every_figure(spectra, place):
    found = spectra("plot", "--all", "run", "-o", "figures", "--format", "svg", "--width", "3.3")
    assert found.code == 0
    page = (place / "figures" / "index.md").read_text()
    for name in FIGURES:
        assert f"\n## {name}\n" in page
        drawn = (place / "figures" / f"{name}.svg").exists()
        assert drawn == (f"![{name}]({name}.svg)" in page)
        assert drawn != (f"{name} is not drawn: " in found.err)
    num = sum(1 for _ in (place / "figures").glob("*.svg"))
    assert found.err.startswith(f"figures/index.md: {num} of {len(FIGURES)} figures\n")
    assert "not heeded" not in found.err + page
    again = spectra("plot", "--all", "run", "-o", "figures", "--format", "svg")
    assert (again.code, again.out) == (2, "")
    assert "--overwrite" in again.err
    stale = place / "figures" / "forecast.svg"
    stale.write_text("of several runs")
    again = spectra("plot", "--all", "run", "-o", "figures", "--format", "svg", "--overwrite")
    assert again.code == 0
    assert not stale.exists()


def test_a_set_that_cannot_be_finished_says_what_of_it_is_written(spectra, place, monkeypatch):
    finished = os.fsync
    synced = []

    def fills_up(handle):
        synced.append(handle)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        finished(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    found = spectra("plot", "--all", "run", "-o", "filled", "--format", "svg")
    assert found.code == 3
    there = sorted(path.name for path in (place / "filled").iterdir())
    assert there == ["spectrum.svg", "trajectory.svg"]
    assert (
        "Written before it: spectrum, trajectory; then add --overwrite. The set has no index.md" in found.err
    )


def test_a_set_says_which_figures_do_not_heed_what_is_asked(spectra, place):
    found = spectra("plot", "--all", "run", "-o", "heeded", "--format", "svg", "--step", "0")
    assert found.code == 0
    drawn = {path.stem for path in (place / "heeded").glob("*.svg")}
    left_out = [name for name, kind in FIGURES.items() if name in drawn and "steps" not in (kind.alone or ())]
    assert left_out
    assert f"\n--step is not heeded by {', '.join(left_out)}\n" in found.err
    page = (place / "heeded" / "index.md").read_text()
    assert page.count("Not heeded here: --step.") == len(left_out)


def test_every_figure_is_listed(spectra):
    found = spectra("plot", "--list")
    assert (found.code, found.err) == (0, "")
    assert set(FIGURES) <= set(found.out.split())


WRONG = {
    "no figure": ((), "which figure"),
    "an unknown figure": (("spectrun", "run", "-o", "a.png"), "did you mean spectrum"),
    "no archive": (("spectrum", "-o", "a.png"), "which archives"),
    "nowhere to go": (("spectrum", "run"), "-o FILE"),
    "every figure to stdout": (("--all", "run", "-o", "-"), "--all writes a folder"),
    "every figure to one file": (("--all", "run", "-o", "all.png"), "--all writes a folder"),
    "an unknown suffix": (("spectrum", "run", "-o", "a.gif"), ".png, .svg, .pdf"),
    "a suffix and another format": (("spectrum", "run", "-o", "a.png", "--format", "svg"), "contradicts"),
    "stdout of no format": (("spectrum", "run", "-o", "-"), "--format"),
    "an unknown style": (("spectrum", "run", "-o", "a.png", "--style", "neon"), "paper, slides, dark"),
    "an unknown measurement": (("spectrum", "run", "-o", "a.png", "--measure", "heads"), "activations"),
    "a file that is there": (("spectrum", "run", "-o", "run.spectra.h5"), "run.spectra.h5"),
    "a layer that is not there": (("spectrum", "run", "-o", "a.png", "--layer", "9"), "0, 1"),
    "what is not for it": (("trajectory", "run", "-o", "a.png", "--align", "step"), "takes no --align"),
    "a statistic that is no exponent": (
        ("spectrum", "run", "-o", "a.png", "--statistic", "rankme_cov"),
        "decay exponents",
    ),
    "the same run twice": (("spectrum", "run", "run", "-o", "a.png"), "same archive"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(spectra, place, case):
    words, said = WRONG[case]
    before = sorted(place.rglob("*"))
    found = spectra("plot", *words)
    assert (found.code, found.out) == (2, "")
    assert re.search(re.escape(said), found.err)
    assert sorted(place.rglob("*")) == before
