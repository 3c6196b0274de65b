"""Every family of errors has a code, and every code its page, in the package and in the docs."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import spectra_cli
from spectra_cli.core.error_pages import PAGES
from spectra_cli.core.errors import SpectraError, exit_codes, families

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def all_families():
    """Those of the whole package: one defined outside core/errors.py is known once its module is imported."""
    for module in pkgutil.walk_packages(spectra_cli.__path__, "spectra_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return list(families())


def test_every_code_has_its_page_and_every_page_its_code(all_families):
    assert {kind.code for kind in all_families} == set(PAGES)


def test_a_code_has_one_exit_code(all_families):
    found = {(kind.code, kind.exit_code) for kind in all_families}
    assert found == set(exit_codes().items())


def test_every_class_states_its_own_code(all_families):
    """None has that of its base by forgetting: a code is inherited by no one."""
    assert all("code" in vars(kind) for kind in all_families)
    assert {kind.__name__ for kind in all_families} == {
        kind.__name__ for kind in _all_under(SpectraError) if kind is not SpectraError
    }


def _all_under(kind):
    yield kind
    for one in kind.__subclasses__():
        yield from _all_under(one)


def test_the_tree_is_drawn_atop_the_file(all_families):
    text = (ROOT / "spectra_cli" / "core" / "errors.py").read_text().partition("from __future__")[0]
    drawn = re.findall(r"^    ([| ]*(?:\+-- )?)(\w+)  ", text, re.MULTILINE)
    parents: list[str] = []
    for indent, name in drawn:
        depth = len(indent) // 4
        parents[depth:] = [name]
        found = next(kind for kind in _all_under(SpectraError) if kind.__name__ == name)
        assert depth == 0 or found.__bases__[0].__name__ == parents[depth - 1]
    assert {name for _, name in drawn} == {kind.__name__ for kind in _all_under(SpectraError)}


@pytest.mark.parametrize("code", PAGES)
def test_a_page_is_whole(code):
    page = PAGES[code]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert page.meaning.endswith(".")
    assert page.remedies
    for sentence in page.remedies:
        assert sentence.endswith(".")
        for path in re.findall(r"docs/[\w/-]+\.md", sentence):
            assert (ROOT / path).is_file()
        for name in re.findall(r"`spectra ([a-z]+)", sentence):
            importlib.import_module(f"spectra_cli.cli.commands.{name}")
