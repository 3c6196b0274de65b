"""The site is built of the pages as they are, loads nothing from elsewhere, and leads to every page."""

from __future__ import annotations

import doctest
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.site import navigation
from tests.builders.installed import needs

ROOT = Path(__file__).parents[2]
# made by sphinx, not of a page
MADE = {"index.html", "search.html"}
# attributes of tags that a browser follows by itself
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "srcset",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "use": "href",
    "image": "href",
}


class Page(HTMLParser):
    """What a page loads, and where its navigation leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.navigation: list[str] = []
        self._depth = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if tag == "div":
            self._depth += bool(self._depth or "sidebar-tree" in given.get("class", "").split())
        if tag == "a" and self._depth:
            self.navigation.append(given.get("href", "").partition("#")[0])
        if tag in LOADED:
            self.loaded += [given[name] for name in (LOADED[tag], f"xlink:{LOADED[tag]}") if name in given]

    def handle_endtag(self, tag):
        if tag == "div" and self._depth:
            self._depth -= 1


def _build(*folders: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "docs.site", *map(str, folders)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    needs("sphinx", "furo", "myst_parser", "nbformat")
    folder: Path = tmp_path_factory.mktemp("site")
    done = _build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path.read_text()) for path in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, page in pages.items():
        assert page.loaded or name == "index.html"
        for address in page.loaded:
            path = address.partition("?")[0].partition("#")[0]
            here = address.startswith("#") or ((site / name).parent / path).resolve().is_file()
            assert here, f"{name} loads {address}"
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert styles
    for style in styles:
        for loads in ("url(http", "url(//", 'url("http', "url('http", "@import"):
            assert loads not in style


def test_every_page_is_in_the_navigation_of_every_page(pages):
    assert len(pages) > 40
    front = pages["README.html"].navigation
    assert set(pages) - MADE == {*front} - {"", "#"} | {"README.html"}


def test_the_address_without_a_page_is_the_readmes(site):
    assert 'url=README.html"' in (site / "index.html").read_text()
    assert "<h1>spectra" in (site / "README.html").read_text()


def test_the_examples_of_the_navigation_are_true():
    failed, tried = doctest.testmod(navigation)
    assert tried >= 2
    assert not failed


def test_a_notebook_is_a_page(site):
    page = (site / "docs" / "how-to" / "in-a-notebook.html").read_text()
    assert '<span class="kn">import</span>' in page


def test_a_link_an_anchor_or_a_page_that_leads_nowhere_fails_the_build(tmp_path):
    needs("sphinx", "furo", "myst_parser", "nbformat")
    source = tmp_path / "source"
    (source / "docs").mkdir(parents=True)
    (source / "README.md").write_text(
        "# Start\n\n[a](docs/a.md) [gone](docs/gone.md) [part](docs/a.md#gone)\n"
    )
    (source / "docs" / "index.md").write_text("# Index\n\n**Pages**\n\n- [a](a.md)\n")
    (source / "docs" / "a.md").write_text("# A\n")
    (source / "docs" / "forgotten.md").write_text("# Forgotten\n")
    done = _build(tmp_path / "site", source)
    assert done.returncode != 0
    assert "'docs/gone.md' [myst.xref_missing]" in done.stderr
    assert "'gone' [myst.xref_missing]" in done.stderr
    assert "forgotten.md: WARNING: document isn't included in any toctree" in done.stderr
