from __future__ import annotations

import importlib.util
import struct

import pytest

import spectra_cli as spectra
from spectra_cli.api import drawn_figure
from spectra_cli.core.errors import UsageError
from tests.builders.archives import write_planted_run


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "a.spectra.h5"
    return write_planted_run(path, steps=[0, 100], noise=0.05, width=64, losses=[3.0, 2.5])


def test_a_notebook_shows_the_picture_in_its_style_and_print_the_words(archive, tmp_path):
    from IPython.core.formatters import DisplayFormatter

    figure = spectra.plot("trajectory", archive, output=tmp_path / "a.png", style="dark", width=4)
    shown, metadata = DisplayFormatter().format(figure)
    assert shown["image/png"] == (tmp_path / "a.png").read_bytes()
    assert metadata["image/png"] == {"width": 4 * 96}
    assert struct.unpack(">I", shown["image/png"][16:20])[0] == 4 * 200
    assert shown["text/plain"] == str(figure)
    lines = str(figure).splitlines()
    assert lines[0] == figure.title
    assert " ".join(lines).endswith(figure.words)
    assert max(map(len, lines)) <= 100


def test_without_matplotlib_the_words_are_shown_alone(archive, monkeypatch):
    figure = spectra.plot("trajectory", archive)
    there = importlib.util.find_spec
    monkeypatch.setattr(drawn_figure, "find_spec", lambda name: None if name == "matplotlib" else there(name))
    assert figure._repr_png_() is None


def test_a_style_that_there_is_not_is_refused_before_it_is_shown(archive):
    with pytest.raises(UsageError, match="--style loud: expected one of paper, slides, dark"):
        spectra.plot("trajectory", archive, style="loud")
